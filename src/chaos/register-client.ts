/**
 * Clients that read and write the same few keys at once, through every host: each operation goes into a history, to be
 * checked for linearizability afterwards.
 */

import { pause } from '../lab/processes.ts';
import type { Random } from '../lib/random.ts';
import { type Answer, type Api, type Call, NoAnswer, statusOf } from './api-client.ts';
import type { History, WriteCall } from './history.ts';

export type RegisterOptions = {
  readonly client: Api;
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly random: Random;
  readonly history: History;
  readonly keys: KeyRing;
  /** Told of every acknowledged write. */
  readonly onAcknowledged: (host: string) => void;
  /** Longest pause between two operations. Default 60 ms. */
  readonly paceMs?: number;
  /** True if a host had trouble of our making since then: it owes no answer. Default: never. */
  readonly excused?: (host: string, sinceMs: number) => boolean;
};

type Register = {
  readonly metadata: { readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>>;
};

/** What an answer means for a write. */
type Verdict = 'done' | 'refused' | 'conflict' | 'absent' | 'unknown';

/** Longer than any answer of the server may take. */
const DEADLINE_MS = 14_000;
const REFUSED_PAUSE_MS = 20;
const READS = 0.5;
const CONDITIONAL = 0.4;

/** The keys in use: few, so that clients meet, and new ones from time to time, so that no history grows for ever. */
export class KeyRing {
  readonly #uses: { name: string; left: number }[];
  readonly #usesMax: number;
  #count = 0;

  constructor({ active = 3, usesMax = 400 } = {}) {
    this.#usesMax = usesMax;
    this.#uses = Array.from({ length: active }, () => this.#next());
  }

  take(random: Random): string {
    const at = random.int(0, this.#uses.length - 1);
    const use = this.#uses[at] ?? this.#next();
    if (--use.left <= 0) this.#uses[at] = this.#next();
    return use.name;
  }

  #next(): { name: string; left: number } {
    return { name: `register-${this.#count++}`, left: this.#usesMax };
  }
}

/** One client: one operation at a time. */
export class RegisterClient {
  readonly tally = { writes: 0, reads: 0, conflicts: 0, refused: 0, unknown: 0, unreached: 0 };
  /** Answers that no healthy cluster gives, in words. Must stay empty. */
  readonly faults: string[] = [];
  readonly #name: string;
  readonly #options: RegisterOptions;
  /** The last revision seen, by key. */
  readonly #seen = new Map<string, number>();
  #writes = 0;

  constructor(name: string, options: RegisterOptions) {
    this.#name = name;
    this.#options = options;
  }

  /** Goes on until the signal fires; the last operation is waited for. */
  async run(signal: AbortSignal): Promise<void> {
    const { random, keys, paceMs = 60 } = this.#options;
    while (!signal.aborted) {
      const key = keys.take(random);
      if (random.chance(READS)) await this.#read(key);
      else await this.#write(key);
      await pause(random.int(0, paceMs), signal);
    }
  }

  #path(key = ''): string {
    const { namespace } = this.#options;
    return `/api/v1/namespaces/${namespace}/configmaps${key === '' ? '' : `/${key}`}`;
  }

  async #read(key: string): Promise<void> {
    const { client, hosts, random, history } = this.#options;
    const host = random.pick(hosts);
    const startMs = performance.now();
    const answer = await this.#answer(host, startMs, client.call(host, this.#path(key), DEADLINE));
    const endMs = performance.now();
    if (answer === undefined || isRefusal(answer)) return;
    if (answer.code !== 200 && answer.code !== 404) {
      this.faults.push(`reading ${key} at ${host}: ${answer.code} ${answer.text}`);
      return;
    }
    const { metadata, data } = (
      answer.code === 200 ? JSON.parse(answer.text) : {}
    ) as Partial<Register>;
    const revision = Number(metadata?.resourceVersion ?? 0);
    this.tally.reads++;
    this.#seen.set(key, revision);
    const called = { kind: 'read', key, host, startMs, endMs } as const;
    history.add({ ...called, outcome: 'done', revision, value: data?.['value'] });
  }

  /** Some writes name the revision they change, as controllers do. */
  async #write(key: string): Promise<void> {
    const { random } = this.#options;
    const seen = this.#seen.get(key);
    const value = `${this.#name}-${this.#writes++}`;
    if (seen === 0) {
      await this.#send({ key, value, method: 'POST', path: this.#path() });
      this.#seen.delete(key);
      return;
    }
    const expected = seen !== undefined && random.chance(CONDITIONAL) ? { expected: seen } : {};
    const path = this.#path(key);
    const verdict = await this.#send({ key, value, method: 'PUT', path, ...expected });
    if (verdict === 'absent') this.#seen.set(key, 0);
  }

  async #send(request: {
    readonly key: string;
    readonly value: string;
    readonly method: 'POST' | 'PUT';
    readonly path: string;
    readonly expected?: number;
  }): Promise<Verdict> {
    const { client, hosts, random, history, onAcknowledged } = this.#options;
    const { key, value, method, path, expected } = request;
    const host = random.pick(hosts);
    const startMs = performance.now();
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: key,
        ...(expected === undefined ? {} : { resourceVersion: `${expected}` }),
      },
      data: { value },
    };
    const call: WriteCall = {
      kind: 'write',
      key,
      host,
      startMs,
      value,
      ...(expected === undefined ? {} : { expected }),
    };
    const sent = client.call(host, path, { ...DEADLINE, method, body });
    let reached = true;
    const answer = await this.#answer(host, startMs, sent, () => {
      reached = false;
    });
    const endMs = performance.now();
    const verdict =
      answer === undefined
        ? reached
          ? 'unknown'
          : 'refused'
        : this.#judge(answer, `${method} ${key} at ${host}`);
    if (verdict === 'done' && answer) {
      const revision = Number((JSON.parse(answer.text) as Register).metadata.resourceVersion);
      this.tally.writes++;
      this.#seen.set(key, revision);
      onAcknowledged(host);
      history.add({ ...call, outcome: 'done', revision, endMs });
    } else if (verdict === 'unknown') {
      this.tally.unknown++;
      history.add({ ...call, outcome: 'unknown' });
    } else if (verdict === 'conflict' && expected !== undefined) {
      this.tally.conflicts++;
      this.#seen.delete(key);
      history.add({ ...call, outcome: 'conflict', endMs });
    }
    return verdict;
  }

  #judge(answer: Answer, what: string): Verdict {
    if (answer.code < 300) return 'done';
    if (isRefusal(answer)) {
      this.tally.refused++;
      return 'refused';
    }
    if (answer.code === 504 && statusOf(answer).reason === 'Timeout') return 'unknown';
    if (answer.code === 409) return 'conflict';
    if (answer.code === 404) return 'absent';
    this.faults.push(`${what}: ${answer.code} ${answer.text}`);
    return 'unknown';
  }

  /** The answer, or undefined when none came; then `unsent` is called if the server certainly never heard of it. */
  async #answer(
    host: string,
    startMs: number,
    call: Promise<Answer>,
    unsent: () => void = () => {},
  ): Promise<Answer | undefined> {
    try {
      return await call;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      const late = error.message.startsWith('no answer within');
      if (late && !this.#options.excused?.(host, startMs))
        this.faults.push(`${host}: ${error.message}`);
      if (!error.sent) {
        this.tally.unreached++;
        unsent();
        await pause(REFUSED_PAUSE_MS);
      }
      return undefined;
    }
  }
}

const DEADLINE: Call = { deadlineMs: DEADLINE_MS };

/** Refused for now, certainly without effect. */
const isRefusal = (answer: Answer): boolean =>
  answer.code === 429 || (answer.code === 503 && statusOf(answer).reason === 'ServiceUnavailable');
