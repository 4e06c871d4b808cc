/**
 * Events about pods and the node, as kubectl describe shows them. Recording never waits and never
 * fails the caller; repeats of the same event raise its count instead of adding one.
 */

import type { Client } from '../../../src/client/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import { BoundedQueue } from '../../../src/lib/bounded-queue.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { KubeEvent, Pod } from './kinds.ts';
import { isoSeconds } from './times.ts';

export type EventType = 'Normal' | 'Warning';

/** What an event is about. */
export type EventSubject = {
  readonly kind: 'Pod' | 'Node';
  readonly apiVersion?: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly fieldPath?: string;
};

export type EventText = {
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
};

export interface EventRecorder {
  record(subject: EventSubject, event: EventText): void;
}

export type EventRecorderDeps = {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Most events waiting to be written; further ones are dropped. */
const QUEUE_MAX = 1000;
/** Distinct events whose count is remembered. */
const KNOWN_MAX = 4096;
const MESSAGE_CHARS_MAX = 1024;
/** Pause after a failed write, while the API is away. */
const RETRY_MS = 5_000;

type Known = { name: string; count: number; firstMs: number; message: string };
type Pending = {
  readonly key: string;
  readonly subject: EventSubject;
  readonly event: EventText;
  readonly atMs: number;
};

/** An event's subject for a pod, or for one of its containers. */
export function podSubject(pod: Pod, container?: { field: string; name: string }): EventSubject {
  const { metadata } = pod;
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    uid: metadata.uid ?? '',
    ...(container ? { fieldPath: `spec.${container.field}{${container.name}}` } : {}),
  };
}

/** Writes events through the API, one at a time, until the signal fires. */
export class ApiEventRecorder implements EventRecorder {
  readonly #deps: EventRecorderDeps;
  readonly #host: string;
  readonly #queue = new BoundedQueue<Pending>(QUEUE_MAX);
  readonly #known = new Map<string, Known>();
  readonly #signal: AbortSignal;
  #writing = false;
  #made = 0;

  constructor(deps: EventRecorderDeps, host: string, signal: AbortSignal) {
    this.#deps = deps;
    this.#host = host;
    this.#signal = signal;
  }

  record(subject: EventSubject, event: EventText): void {
    const { uid, fieldPath = '' } = subject;
    const key = [uid, fieldPath, event.type, event.reason, event.message].join('|');
    this.#queue.push({ key, subject, event, atMs: this.#deps.clock.nowMs() });
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
        if (this.#signal.aborted) return;
        await this.#writeOne(next);
      }
    } finally {
      this.#writing = false;
    }
  }

  async #writeOne(pending: Pending): Promise<void> {
    try {
      const known = this.#known.get(pending.key);
      if (known) return await this.#repeat(known, pending);
      await this.#create(pending);
    } catch (error) {
      this.#deps.log.debug({ error: messageOf(error), reason: pending.event.reason }, 'event lost');
      await sleep(RETRY_MS, this.#deps.clock, this.#signal).catch(() => {});
    }
  }

  async #repeat(known: Known, { subject, atMs, key }: Pending): Promise<void> {
    known.count++;
    const body = { count: known.count, lastTimestamp: isoSeconds(atMs) };
    const at = { namespace: subject.namespace, name: known.name };
    try {
      await this.#deps.client.patch('Event', at, { type: 'merge', body });
    } catch (error) {
      this.#known.delete(key); // It expired meanwhile: the next repeat makes a new one.
      throw error;
    }
  }

  async #create({ key, subject, event, atMs }: Pending): Promise<void> {
    const name = `${subject.name}.${(atMs * 1000 + (this.#made++ % 1000)).toString(16)}`;
    const time = isoSeconds(atMs);
    const object: KubeEvent = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: subject.namespace },
      involvedObject: { ...subject },
      type: event.type,
      reason: event.reason,
      message: event.message.slice(0, MESSAGE_CHARS_MAX),
      source: { component: 'kubelet', host: this.#host },
      reportingComponent: 'kubelet',
      reportingInstance: this.#host,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    await this.#deps.client.create('Event', object);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, { name, count: 1, firstMs: atMs, message: event.message });
  }
}
