/** All clients of a run: books, registers and a watcher; and what they say when all is over. */

import type { Random } from '../lib/random.ts';
import type { Api } from './api-client.ts';
import { checkHistory, type HistoryFault } from './check-history.ts';
import { Follower } from './follower.ts';
import { History } from './history.ts';
import { Ledger } from './ledger.ts';
import { KeyRing, RegisterClient } from './register-client.ts';

export type ClientsOptions = {
  readonly client: Api;
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly random: Random;
  readonly onAcknowledged: (host: string) => void;
  readonly excused: (host: string, sinceMs: number) => boolean;
  /** Longest pause between two operations of a client. Default 60 ms: slow enough to leave the machine to what is tried. */
  readonly paceMs?: number;
};

export type ClientsTally = {
  readonly writes: number;
  readonly reads: number;
  readonly conflicts: number;
  readonly refused: number;
  readonly unknown: number;
  readonly unreached: number;
  readonly events: number;
  readonly watches: number;
};

const REGISTER_CLIENTS = 5;

export class Clients {
  readonly ledgers: readonly Ledger[];
  readonly history = new History();
  readonly follower: Follower;
  readonly #registers: readonly RegisterClient[];
  readonly #followingEnd = new AbortController();
  #following = Promise.resolve();

  constructor(options: ClientsOptions) {
    const { random, client, hosts, namespace, paceMs = 60 } = options;
    const keys = new KeyRing();
    // One for each host, so that a host that keeps its clients waiting does not make the cluster look as if it did.
    this.ledgers = hosts.map(
      (host) =>
        new Ledger(`book-${host}`, {
          ...options,
          hosts: [host],
          random: random.fork(),
          paceMs: paceMs * 2,
        }),
    );
    this.#registers = Array.from(
      { length: REGISTER_CLIENTS },
      (_, at) =>
        new RegisterClient(`client${at}`, {
          ...options,
          random: random.fork(),
          history: this.history,
          keys,
          paceMs,
        }),
    );
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    this.follower = new Follower({ client, hosts, path, random: random.fork() });
  }

  /** Reads, writes and watches until the signal fires; the last requests are waited for. The watcher goes on. */
  async run(signal: AbortSignal): Promise<void> {
    await this.follower.begin();
    this.#following = this.follower.follow(this.#followingEnd.signal);
    await Promise.all([
      ...this.ledgers.map((ledger) => ledger.write(signal)),
      ...this.#registers.map((register) => register.run(signal)),
    ]);
  }

  /** Ends the watcher. */
  async end(): Promise<void> {
    this.#followingEnd.abort();
    await this.#following;
  }

  get tally(): ClientsTally {
    const books = (what: keyof Ledger['tally']) =>
      sum(this.ledgers.map(({ tally }) => tally[what]));
    const registers = (what: keyof RegisterClient['tally']) =>
      sum(this.#registers.map(({ tally }) => tally[what]));
    return {
      writes: books('acknowledged') + registers('writes'),
      reads: books('reads') + registers('reads'),
      conflicts: registers('conflicts'),
      refused: books('refused') + registers('refused'),
      unknown: books('unknown') + registers('unknown'),
      unreached: books('unreached') + registers('unreached'),
      events: this.follower.tally.events,
      watches: this.follower.tally.resumed,
    };
  }

  /** Answers that no healthy cluster gives, in words. */
  get wrongAnswers(): readonly string[] {
    const clients = [...this.ledgers, ...this.#registers, this.follower];
    return clients.flatMap(({ faults }) => faults);
  }

  /** What contradicts linearizability in the registers' histories. */
  checkHistories(): readonly HistoryFault[] {
    return this.history.keys.flatMap((key) => checkHistory(this.history.of(key)));
  }

  /** Revisions of acknowledged writes that the watcher was not told of although it followed all the time. */
  untold(): readonly number[] {
    const books = this.ledgers.flatMap(({ entries }) =>
      entries.flatMap((entry) => entry.revisions),
    );
    const registers = this.history.keys.flatMap((key) =>
      this.history
        .of(key)
        .flatMap((each) =>
          each.kind === 'write' && each.outcome === 'done' ? [each.revision] : [],
        ),
    );
    const { beganAt, revision: last, told } = this.follower;
    return [...books, ...registers].filter(
      (revision) => revision > beganAt && revision <= last && !told.has(revision),
    );
  }

  /** What the registers must hold at least: by key, the newest acknowledged revision. */
  newestRegisters(): ReadonlyMap<string, number> {
    const newest = new Map<string, number>();
    for (const key of this.history.keys) {
      for (const operation of this.history.of(key)) {
        if (operation.outcome !== 'done') continue;
        newest.set(key, Math.max(newest.get(key) ?? 0, operation.revision));
      }
    }
    return newest;
  }
}

const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, each) => total + each, 0);
