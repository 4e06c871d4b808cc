/**
 * Tells people what happened to an object (core/v1 Event). Recording never waits and never fails:
 * notes go into a bounded queue, the oldest are dropped when the API cannot keep up. A note that
 * repeats an earlier one raises that Event's count instead of making another; too many notes about
 * one object that differ in their message only are combined; and an object that never falls silent
 * is cut down to a trickle.
 */

import { sleep } from '../lib/async.ts';
import { BoundedQueue } from '../lib/bounded-queue.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { KubeObject } from '../resources/types.ts';
import { isForbidden, isNotFound, isTransient } from './errors.ts';
import type { Client, KindMap } from './types.ts';

export type EventType = 'Normal' | 'Warning';

/** The object that a note is about; built-in objects and plain references alike. */
export type EventSubject = {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata: Pick<KubeObject['metadata'], 'name' | 'namespace' | 'uid' | 'resourceVersion'>;
  /** A part of the object: `spec.containers{web}`. */
  readonly fieldPath?: string | undefined;
};

export interface EventRecorder {
  /**
   * Notes something. `reason` is one CamelCase word, `message` a sentence. Never throws, never
   * waits.
   */
  event(subject: EventSubject, type: EventType, reason: string, message: string): void;
  /** Resolves when everything noted before has been written or given up. */
  flush(): Promise<void>;
  /** Drops what waits; later notes are ignored. */
  stop(): void;
}

export type EventRecorderOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** source.component: `kubelet`, `default-scheduler`, `deployment-controller`. */
  readonly component: string;
  /** source.host: the node's name, for node agents. */
  readonly host?: string;
};

/** Notes that wait to be written. */
const QUEUE_MAX = 1_000;
/** Events whose names and counts are remembered. */
const KNOWN_MAX = 4_096;
/** Notes that differ in their message only, within the window, before they are combined. */
const SIMILAR_MAX = 10;
const SIMILAR_WINDOW_MS = 600_000;
/** Notes about one object that may come at once, and how long one more takes to be allowed. */
const BURST_MAX = 25;
const REFILL_MS = 300_000;
/**
 * Attempts to write one note while the API answers with transient errors, and the wait between
 * them.
 */
const ATTEMPTS_MAX = 5;
const RETRY_MS = 1_000;
const MESSAGE_LENGTH_MAX = 1_024;

type Note = {
  readonly subject: EventSubject;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
  readonly atMs: number;
};
type Known = { readonly name: string; readonly namespace: string; count: number };
type Similar = { readonly messages: Set<string>; sinceMs: number };
type Bucket = { tokens: number; atMs: number };

/** The recorder of one component. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue = new BoundedQueue<Note>(QUEUE_MAX);
  readonly #known = new Map<string, Known>();
  readonly #similar = new Map<string, Similar>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  event(subject: EventSubject, type: EventType, reason: string, message: string): void {
    if (this.#stop.signal.aborted) return;
    const atMs = this.#options.clock.nowMs();
    if (!this.#allowed(subject, atMs)) return;
    if (this.#queue.full) {
      this.#queue.shift();
      this.#dropped++;
    }
    const text =
      message.length > MESSAGE_LENGTH_MAX
        ? `${message.slice(0, MESSAGE_LENGTH_MAX - 3)}...`
        : message;
    this.#queue.push({ subject: referenceOf(subject), type, reason, message: text, atMs });
    this.#running ??= this.#drain();
  }

  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  stop(): void {
    this.#stop.abort();
    this.#queue.drain();
  }

  async #drain(): Promise<void> {
    // The caller's turn ends before the first write starts.
    await Promise.resolve();
    for (let note = this.#queue.shift(); note !== undefined; note = this.#queue.shift()) {
      await this.#write(note);
    }
    if (this.#dropped > 0) {
      const { logger, component } = this.#options;
      logger.warn({ component, dropped: this.#dropped }, 'events were dropped: the queue was full');
      this.#dropped = 0;
    }
    this.#running = undefined;
  }

  async #write(note: Note): Promise<void> {
    const { clock, logger } = this.#options;
    const message = this.#combine(note);
    const key = noteKey(note, message);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#createOrRaise(note, message, key);
        return;
      } catch (error) {
        const again = isTransient(error) && attempt < ATTEMPTS_MAX && !this.#stop.signal.aborted;
        if (!again) {
          // A namespace that is going away takes no more events; nobody will miss them.
          const facts = { reason: note.reason, object: note.subject.metadata.name, error };
          if (!isForbidden(error) && !isNotFound(error))
            logger.warn(facts, `an event could not be written: ${messageOf(error)}`);
          return;
        }
      }
      await sleep(RETRY_MS, clock, this.#stop.signal).catch(() => {});
    }
  }

  async #createOrRaise(note: Note, message: string, key: string): Promise<void> {
    const { client } = this.#options;
    const known = this.#known.get(key);
    const timestamp = isoSeconds(note.atMs);
    if (known !== undefined) {
      const body = { count: known.count + 1, lastTimestamp: timestamp };
      try {
        const { namespace, name } = known;
        await client.patch('Event', { namespace, name }, { type: 'merge', body });
        known.count++;
        return;
      } catch (error) {
        // It has expired meanwhile: start a new one.
        if (!isNotFound(error)) throw error;
        this.#known.delete(key);
      }
    }
    const event = this.#eventOf(note, message, timestamp);
    await client.create('Event', event);
    const namespace = event.metadata.namespace ?? 'default';
    remember(this.#known, key, { name: event.metadata.name, namespace, count: 1 }, KNOWN_MAX);
  }

  #eventOf(note: Note, message: string, timestamp: string): KindMap['Event'] {
    const { component, host } = this.#options;
    const { subject } = note;
    const namespace = subject.metadata.namespace ?? 'default';
    // Hexadecimal nanoseconds behind the object's name, as people know it.
    const suffix = (BigInt(Math.trunc(note.atMs)) * 1_000_000n + nextSequence()).toString(16);
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${subject.metadata.name}.${suffix}`, namespace },
      involvedObject: {
        ...(subject.apiVersion === undefined ? {} : { apiVersion: subject.apiVersion }),
        ...(subject.kind === undefined ? {} : { kind: subject.kind }),
        ...(subject.fieldPath === undefined ? {} : { fieldPath: subject.fieldPath }),
        ...subject.metadata,
      },
      type: note.type,
      reason: note.reason,
      message,
      source: host === undefined ? { component } : { component, host },
      reportingComponent: component,
      reportingInstance: host ?? '',
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
    };
  }

  /** The message, or the combined form once too many differ in their message only. */
  #combine(note: Note): string {
    const key = noteKey(note, '');
    let similar = this.#similar.get(key);
    if (similar === undefined || note.atMs - similar.sinceMs > SIMILAR_WINDOW_MS) {
      similar = { messages: new Set(), sinceMs: note.atMs };
      remember(this.#similar, key, similar, KNOWN_MAX);
    }
    if (similar.messages.has(note.message)) return note.message;
    if (similar.messages.size >= SIMILAR_MAX)
      return `(combined from similar events): ${note.message}`;
    similar.messages.add(note.message);
    return note.message;
  }

  #allowed(subject: EventSubject, atMs: number): boolean {
    const key = subject.metadata.uid ?? `${subject.metadata.namespace}/${subject.metadata.name}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: BURST_MAX, atMs };
      remember(this.#buckets, key, bucket, KNOWN_MAX);
    }
    bucket.tokens = Math.min(BURST_MAX, bucket.tokens + (atMs - bucket.atMs) / REFILL_MS);
    bucket.atMs = atMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}

let sequence = 0n;
/** Keeps names apart that are made within one millisecond. */
function nextSequence(): bigint {
  sequence = (sequence + 1n) % 1_000_000n;
  return sequence;
}

/** Only what an Event refers to: the note must not keep the whole object in memory. */
function referenceOf(subject: EventSubject): EventSubject {
  const { name, namespace, uid, resourceVersion } = subject.metadata;
  const { apiVersion, kind, fieldPath } = subject;
  return { apiVersion, kind, fieldPath, metadata: { name, namespace, uid, resourceVersion } };
}

function noteKey(note: Note, message: string): string {
  const { apiVersion, kind, fieldPath, metadata } = note.subject;
  const who = [apiVersion, kind, metadata.namespace, metadata.name, metadata.uid, fieldPath];
  // A combined message keeps one Event going, whatever its latest text.
  const text = message.startsWith('(combined') ? '(combined)' : message;
  return [...who, note.type, note.reason, text].join('\n');
}

/** Keeps the newest `limit` entries. */
function remember<V>(map: Map<string, V>, key: string, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= limit) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}

function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
