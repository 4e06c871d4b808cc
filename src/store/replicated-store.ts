/**
 * The store as its users see it: local reads, writes that go through consensus and take effect exactly once. A write
 * whose fate is unclear (the leader died, a link broke) is proposed again under the same
 * sequence until the deadline, so that a change of leader is a pause and not an error.
 */

import { randomUUID } from 'node:crypto';
import type { Consensus } from '../consensus/types.ts';
import { abortError, sleep, withDeadline } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import { entropyRandom, type Random } from '../lib/random.ts';
import { type CommandResult, encodeCommand, transactionFault } from './commands.ts';
import { SESSION_RESULTS_MAX } from './sessions.ts';
import type { StoreState } from './state.ts';
import type { Revision, Store, Transaction, TransactionResult, TransactOptions } from './types.ts';
import { growthOf, type WriteGate } from './write-gate.ts';

/** What the store needs: the replica's state (given to consensus as its state machine) and consensus. */
export type ReplicatedStoreComponents = {
  readonly state: StoreState;
  readonly consensus: Pick<Consensus, 'propose' | 'readBarrier'>;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Asked in turn whether there is room for a transaction. Default: none. */
  readonly gates?: readonly WriteGate[];
};

export type ReplicatedStoreOptions = {
  /** How long a write is tried when its caller names no deadline. Default 10 s. */
  readonly deadlineMs?: number;
  /** Never used before by anybody. Default: a random UUID. */
  readonly clientId?: string;
};

/** Most writes of one process in flight; below the limit of the replicated session table. */
const IN_FLIGHT_MAX = SESSION_RESULTS_MAX / 2;
const RETRY = { initialMs: 5, maxMs: 200 };
/**
 * Elections take one or two seconds at worst. When nobody leads for longer, a majority is out of reach, and callers
 * had better hear it than wait. A write that may be in a log goes on asking for its fate until its deadline.
 */
const LEADER_WAIT_MS = 4_000;
/** A command made by a replica that was behind is made anew this often. */
const REMAKES_MAX = 3;

type CommandBody =
  | { readonly kind: 'transaction'; readonly transaction: Parameters<Store['transact']>[0] }
  | { readonly kind: 'claim'; readonly name: string; readonly term: number };

/** A store over `components`. Reads are those of `state`. */
export function createReplicatedStore(
  components: ReplicatedStoreComponents,
  options: ReplicatedStoreOptions = {},
): Store {
  const { state, consensus, clock = systemClock } = components;
  const writer = new Writer(components, options);
  const waitForRevision: Store['waitForRevision'] = (revision, wait) => {
    if (revision <= state.revision()) return Promise.resolve();
    return withDeadline(
      (signal) =>
        new Promise((resolve) => {
          const withdraw = state.onRevision(revision, resolve);
          signal.addEventListener('abort', withdraw, { once: true });
        }),
      { ...wait, clock, what: `waiting for revision ${revision}` },
    );
  };
  return {
    revision: () => state.revision(),
    oldestRevision: () => state.oldestRevision(),
    changedAt: (prefix) => state.changedAt(prefix),
    get: (key) => state.get(key),
    list: (prefix, listOptions) => state.list(prefix, listOptions),
    count: (prefix) => state.count(prefix),
    view: (prefix) => state.view(prefix),
    eventsSince: (prefix, from, eventsMax) => state.eventsSince(prefix, from, eventsMax),
    endangeredRevision: () => state.endangeredRevision(),
    usage: () => state.usage(),
    watch: (prefix, from, sink) => state.watch(prefix, from, sink),
    readBarrier: (barrier) => consensus.readBarrier(barrier),
    waitForRevision,
    async transact(transaction, transactOptions) {
      const fault = transactionFault(transaction);
      if (fault !== undefined)
        throw new SkeinError('proposal-dropped', `bad transaction: ${fault}`);
      requireRoom(transaction);
      const { result, remainingMs } = await writer.write(
        { kind: 'transaction', transaction },
        transactOptions,
      );
      if (result.kind === 'claimed') throw unexpected(result);
      if (result.kind === 'committed') await seen(result.revision, remainingMs);
      return result;
    },
    async claimFence(name, term) {
      const { result, remainingMs } = await writer.write({ kind: 'claim', name, term });
      if (result.kind === 'fenced') {
        const newest = result.newestTerm;
        throw new SkeinError('fenced', `term ${newest} has claimed ${name} before term ${term}`);
      }
      if (result.kind !== 'claimed') throw unexpected(result);
      await seen(result.revision, remainingMs);
    },
  };

  function requireRoom(transaction: Transaction): void {
    const { gates = [] } = components;
    if (gates.length === 0) return;
    const growth = growthOf(transaction, (key) => state.get(key));
    for (const gate of gates) {
      const refusal = gate.refuse(growth);
      if (refusal !== undefined) throw refusal;
    }
  }

  /** The writer reads its own write here. A replica that lags takes nothing from the write's success. */
  async function seen(revision: Revision, remainingMs: number): Promise<void> {
    await waitForRevision(revision, { deadlineMs: remainingMs }).catch(() => {});
  }
}

type Answer = {
  readonly result: TransactionResult | (CommandResult & { readonly kind: 'claimed' });
  readonly remainingMs: number;
};

/** One client session: numbers the commands and sees each through. */
class Writer {
  readonly #components: ReplicatedStoreComponents;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #client: string;
  readonly #deadlineMs: number;
  /** Sequences not answered yet, in order. */
  readonly #outstanding = new Set<number>();
  #sequence = 0;

  constructor(components: ReplicatedStoreComponents, options: ReplicatedStoreOptions) {
    this.#components = components;
    this.#clock = components.clock ?? systemClock;
    this.#random = components.random ?? entropyRandom();
    this.#client = options.clientId ?? randomUUID();
    this.#deadlineMs = options.deadlineMs ?? 10_000;
  }

  async write(body: CommandBody, options: TransactOptions = {}): Promise<Answer> {
    const endMs = this.#clock.monotonicMs() + (options.deadlineMs ?? this.#deadlineMs);
    await this.#learnSealing(body, endMs, options);
    for (let attempt = 0; ; attempt++) {
      if (this.#outstanding.size >= IN_FLIGHT_MAX) {
        const text = `${IN_FLIGHT_MAX} writes of this node are in flight`;
        throw new SkeinError('proposal-dropped', text, { retryable: true });
      }
      const sequence = ++this.#sequence;
      this.#outstanding.add(sequence);
      try {
        const result = await this.#propose(this.#encode(body, sequence), endMs, options.signal);
        if (result !== 'made-too-early') {
          return { result, remainingMs: Math.max(0, endMs - this.#clock.monotonicMs()) };
        }
      } finally {
        this.#outstanding.delete(sequence);
      }
      // This replica is far behind. The command certainly had no effect: catch up and make it anew.
      const deadlineMs = endMs - this.#clock.monotonicMs();
      if (attempt >= REMAKES_MAX || deadlineMs <= 0) {
        const text = 'the local replica is too far behind to write';
        throw new SkeinError('proposal-dropped', text, { retryable: true });
      }
      await this.#components.consensus.readBarrier({ ...options, deadlineMs });
    }
  }

  /** A replica that knows nothing of sealing may be behind: a secret must not go into the log in plain because of that. */
  async #learnSealing(body: CommandBody, endMs: number, options: TransactOptions): Promise<void> {
    const { state, consensus } = this.#components;
    if (body.kind !== 'transaction' || !state.sealing.isUncertain(body.transaction)) return;
    const deadlineMs = Math.max(0, endMs - this.#clock.monotonicMs());
    await consensus.readBarrier({ ...options, deadlineMs });
  }

  /**
   * Acknowledging everything before the oldest command in flight also fences off a command given up as unknown: once
   * a later one is applied, the lost one can no longer be.
   */
  #encode(body: CommandBody, sequence: number): Buffer {
    const [oldest = sequence] = this.#outstanding;
    const { state } = this.#components;
    return encodeCommand(
      {
        client: this.#client,
        sequence,
        acknowledged: oldest - 1,
        born: state.appliedIndex,
        ...body,
      },
      state.sealing.inForce,
    );
  }

  async #propose(
    data: Buffer,
    endMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Answer['result'] | 'made-too-early'> {
    let uncertain = false;
    for (let attempt = 0; ; attempt++) {
      if (signal?.aborted) throw abortError(signal);
      const deadlineMs = endMs - this.#clock.monotonicMs();
      const outcome = await this.#components.consensus.propose(data, {
        deadlineMs: Math.max(0, deadlineMs),
        leaderWaitMs: LEADER_WAIT_MS,
        ...(signal && { signal }),
      });
      if (outcome.kind === 'applied') {
        const result = asCommandResult(outcome.result);
        if (result.kind === 'invalid') {
          throw new SkeinError('proposal-dropped', `refused at apply: ${result.reason}`);
        }
        // Certainly without effect: a retry of what was applied would have got its earlier result.
        if (result.kind === 'stale-key') return 'made-too-early';
        if (result.kind !== 'expired') return result;
        if (!uncertain) return 'made-too-early';
        throw unknownOutcome('its session has expired');
      }
      if (outcome.kind === 'unknown') uncertain = true;
      const waitMs = backoffMs(attempt, this.#random, RETRY);
      const code = outcome.kind === 'dropped' ? outcome.code : undefined;
      const hopeless = code === 'no-leader' && !uncertain;
      if (hopeless || this.#clock.monotonicMs() + waitMs >= endMs) {
        if (signal?.aborted) throw abortError(signal);
        if (uncertain) throw unknownOutcome(outcome.reason);
        throw new SkeinError(code ?? 'proposal-dropped', outcome.reason, { retryable: true });
      }
      await sleep(waitMs, this.#clock, signal);
    }
  }
}

/** The value crossed the mesh from a member that runs the same apply. */
function asCommandResult(value: unknown): CommandResult {
  if (typeof value === 'object' && value !== null && 'kind' in value) return value as CommandResult;
  throw new SkeinError('outcome-unknown', 'the answer to a write cannot be read');
}

function unknownOutcome(reason: string): SkeinError {
  const text = `the write may or may not have taken effect: ${reason}`;
  return new SkeinError('outcome-unknown', text, { retryable: false });
}

function unexpected(result: CommandResult): SkeinError {
  return new SkeinError('outcome-unknown', `the write was answered with ${result.kind}`);
}
