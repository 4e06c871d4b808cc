/**
 * Writers that keep books: every stream owns its ConfigMaps, has one request under way, and notes what was
 * acknowledged, what was refused and what nobody knows. Afterwards the cluster must agree with the books.
 */

import { pause } from '../lab/processes.ts';
import type { Random } from '../lib/random.ts';
import { type Answer, type Api, NoAnswer, statusOf } from './api-client.ts';

/** What a key may hold: a value, or nothing. More than one while an outcome is unknown. */
export type Possible = { readonly value: number | undefined; readonly revision?: number };

export type Entry = {
  readonly name: string;
  /** The acknowledged state, or, after an unknown outcome, every state that may be. */
  possible: readonly Possible[];
  /** Revisions of acknowledged creates and updates of this key, in order. */
  readonly revisions: number[];
};

export type ConfigMap = {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion: string;
    readonly uid: string;
  };
  readonly data?: Readonly<Record<string, string>>;
};

export type LedgerOptions = {
  readonly client: Api;
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly random: Random;
  /** Longest pause between two writes. Default none. */
  readonly paceMs?: number;
  /** Told of every acknowledged write. */
  readonly onAcknowledged?: (host: string) => void;
  /** True if a host had trouble of our making since then: it owes no answer. Default: never. */
  readonly excused?: (host: string, sinceMs: number) => boolean;
};

/** Keys of a stream that it goes back to. */
const LIVE_MAX = 12;
/** Longer than any write may take: the server gives up after ten seconds. */
const DEADLINE_MS = 14_000;
/** After a refused connection: not to hammer a dead host. */
const REFUSED_PAUSE_MS = 20;

/** The books of one stream of writes. */
export class Ledger {
  readonly entries: Entry[] = [];
  readonly tally = { acknowledged: 0, refused: 0, unknown: 0, unreached: 0, reads: 0 };
  /** Answers that no healthy cluster gives, in words. Must stay empty. */
  readonly faults: string[] = [];
  readonly #options: LedgerOptions;
  readonly #prefix: string;
  #live: Entry[] = [];
  #count = 0;

  constructor(prefix: string, options: LedgerOptions) {
    this.#prefix = prefix;
    this.#options = options;
  }

  get path(): string {
    return `/api/v1/namespaces/${this.#options.namespace}/configmaps`;
  }

  /** Writes until the signal fires; the last request is waited for. */
  async write(signal: AbortSignal): Promise<void> {
    const { random, paceMs = 0 } = this.#options;
    while (!signal.aborted) {
      if (paceMs > 0) await pause(random.int(0, paceMs), signal);
      const entry = this.#live[random.int(0, this.#live.length)];
      if (entry === undefined || this.#live.length < 2) await this.#create();
      else if (this.#live.length >= LIVE_MAX || random.chance(0.3)) await this.#delete(entry);
      else await this.#update(entry);
      const last = this.entries.at(-1);
      if (random.chance(0.3)) await this.#read(entry ?? last);
    }
  }

  /** Any host must show what was acknowledged before the read began, or refuse to answer. */
  async #read(entry: Entry | undefined): Promise<void> {
    const [expected, ...others] = entry?.possible ?? [];
    if (entry === undefined || expected === undefined || others.length > 0) return;
    const { client, hosts, random } = this.#options;
    const host = random.pick(hosts);
    const answer = await client
      .call(host, `${this.path}/${entry.name}`, { deadlineMs: DEADLINE_MS })
      .catch(() => undefined);
    if (answer === undefined || answer.code === 503) return;
    const value =
      answer.code === 404
        ? undefined
        : Number((JSON.parse(answer.text) as ConfigMap).data?.['value'] ?? Number.NaN);
    this.tally.reads++;
    if (value === expected.value) return;
    const shown = answer.code === 200 || answer.code === 404 ? (value ?? 'absent') : answer.text;
    this.faults.push(`${host} shows ${entry.name} as ${shown} after ${expected.value ?? 'absent'}`);
  }

  async #create(): Promise<void> {
    const entry: Entry = {
      name: `${this.#prefix}-${this.#count++}`,
      possible: [{ value: undefined }],
      revisions: [],
    };
    this.entries.push(entry);
    const value = 0;
    const answer = await this.#call(entry, value, {
      method: 'POST',
      path: this.path,
      body: this.#object(entry, value),
    });
    if (answer?.code === 201 && this.#wrote(entry, value, answer)) this.#live.push(entry);
  }

  /** Half of the updates name the revision they change, as controllers do. */
  async #update(entry: Entry): Promise<void> {
    const [{ value: before = 0, revision } = {}] = entry.possible;
    const value = before + 1;
    const body = this.#object(
      entry,
      value,
      this.#options.random.chance(0.5) ? revision : undefined,
    );
    const path = `${this.path}/${entry.name}`;
    const answer = await this.#call(entry, value, { method: 'PUT', path, body });
    if (answer?.code === 200) this.#wrote(entry, value, answer);
  }

  async #delete(entry: Entry): Promise<void> {
    const path = `${this.path}/${entry.name}`;
    const answer = await this.#call(entry, undefined, { method: 'DELETE', path });
    if (answer?.code !== 200) return;
    entry.possible = [{ value: undefined }];
    this.#live = this.#live.filter((other) => other !== entry);
    this.tally.acknowledged++;
  }

  /** Sends one write through any host and books every outcome but success. */
  async #call(
    entry: Entry,
    value: number | undefined,
    request: { readonly method: string; readonly path: string; readonly body?: unknown },
  ): Promise<Answer | undefined> {
    const { client, hosts, random } = this.#options;
    const host = random.pick(hosts);
    const what = `${request.method} ${entry.name} through ${host}`;
    const startMs = performance.now();
    try {
      const answer = await client.call(host, request.path, { ...request, deadlineMs: DEADLINE_MS });
      if (answer.code < 300) {
        this.#options.onAcknowledged?.(host);
        return answer;
      }
      const { reason, message } = statusOf(answer);
      if (answer.code === 503 && reason === 'ServiceUnavailable') {
        // Refused: certainly without effect.
        this.tally.refused++;
      } else if (answer.code === 504 && reason === 'Timeout') this.#unknown(entry, value);
      else this.faults.push(`${what}: ${answer.code} ${reason}: ${message}`);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      const late = error.message.startsWith('no answer within');
      if (late && !this.#options.excused?.(host, startMs)) {
        this.faults.push(`${what}: ${error.message}`);
      }
      if (error.sent) this.#unknown(entry, value);
      else {
        this.tally.unreached++;
        await pause(REFUSED_PAUSE_MS);
      }
    }
    return undefined;
  }

  /** The key is left alone from now on: it is as it was, or as it should have become. */
  #unknown(entry: Entry, value: number | undefined): void {
    this.tally.unknown++;
    entry.possible = [...entry.possible, { value }];
    this.#live = this.#live.filter((other) => other !== entry);
  }

  #wrote(entry: Entry, value: number, answer: Answer): boolean {
    const object = JSON.parse(answer.text) as ConfigMap;
    const revision = Number(object.metadata.resourceVersion);
    const last = entry.revisions.at(-1) ?? 0;
    if (!(revision > last)) {
      this.faults.push(`${entry.name}: revision ${revision} was acknowledged after ${last}`);
    }
    if (object.data?.['value'] !== String(value)) {
      this.faults.push(`${entry.name}: ${object.data?.['value']} was acknowledged for ${value}`);
    }
    entry.revisions.push(revision);
    entry.possible = [{ value, revision }];
    this.tally.acknowledged++;
    return true;
  }

  #object(entry: Entry, value: number, revision?: number): object {
    return {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: entry.name,
        ...(revision === undefined ? {} : { resourceVersion: String(revision) }),
      },
      data: { value: String(value) },
    };
  }
}

/** Compares what a host lists with the books; returns every difference in words. */
export function compareWithBooks(
  listed: readonly ConfigMap[],
  ledgers: readonly Ledger[],
): readonly string[] {
  const found = new Map(listed.map((object) => [object.metadata.name, object]));
  // Every namespace has this one from the cluster itself.
  found.delete('kube-root-ca.crt');
  const differences: string[] = [];
  for (const entry of ledgers.flatMap(({ entries }) => entries)) {
    const object = found.get(entry.name);
    found.delete(entry.name);
    const value = object === undefined ? undefined : Number(object.data?.['value']);
    const match = entry.possible.find((possible) => possible.value === value);
    const expected = entry.possible.map((possible) => possible.value ?? 'absent').join(' or ');
    if (match === undefined) {
      differences.push(`${entry.name} is ${value ?? 'absent'}, expected ${expected}`);
    } else if (match.revision !== undefined) {
      const revision = Number(object?.metadata.resourceVersion);
      if (revision !== match.revision) {
        differences.push(
          `${entry.name} is at revision ${revision}, acknowledged at ${match.revision}`,
        );
      }
    }
  }
  for (const name of found.keys()) differences.push(`${name} is in nobody's books`);
  return differences;
}
