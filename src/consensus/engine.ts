/**
 * The loop around the core: takes what it wants done (a Ready batch) and does it, in the order raft/types.ts asks
 * for. Writing, sending and applying overlap: the leader's own disk is one voter among others.
 */

import type { RaftNode } from '../../raft/raw-node.ts';
import { decodeConfChange } from '../../raft/raw-node.ts';
import type {
  Entry,
  HardState,
  LogIndex,
  Message,
  RaftStatus,
  ReadState,
  Ready,
  SnapshotMeta,
  Term,
} from '../../raft/types.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { invariant } from '../lib/invariant.ts';
import { Applier, type ApplierOptions } from './applier.ts';
import type { Storage } from './storage.ts';
import type { StateMachine } from './types.ts';

export type EngineComponents = {
  readonly raft: RaftNode;
  readonly storage: Storage;
  readonly machine: StateMachine;
  readonly clock: Clock;
  /** The time by which leases are judged. Default: none, so that there are no leases. */
  readonly leaseNowMs?: () => number;
};

export type EngineEvents = {
  send(message: Message): void;
  onApplied(entry: Entry, result: unknown): void;
  onProgress(index: LogIndex, term: Term): void;
  /** The state is a leader's snapshot now. `onProgress` follows. */
  onInstalled(index: LogIndex): void;
  onRead(state: ReadState): void;
  /** After each turn of the loop. */
  onStatus(status: RaftStatus): void;
  /** Nothing here can be trusted any more: the process must end. */
  onFatal(error: unknown): void;
};

/** Silence after which a commit index that is only known is worth a sync of its own. */
const QUIET_MS = 200;

/** Batches taken from the core whose entries are on their way to the disk. */
type Outstanding = { readonly ready: Ready; readonly sinceMs: number; durable: boolean };

/** Drives one member. */
export class Engine {
  readonly #raft: RaftNode;
  readonly #storage: Storage;
  readonly #machine: StateMachine;
  readonly #clock: Clock;
  readonly #leaseNowMs: (() => number) | undefined;
  readonly #events: EngineEvents;
  readonly #applier: Applier;
  readonly #outstanding: Outstanding[] = [];
  /** A commit index alone is not worth a sync: it is written with the next batch that is, or when nothing else comes. */
  #deferredHardState: HardState | undefined;
  #quiet: Timer | undefined;
  #scheduled = false;
  #installing = false;
  #ended = false;

  constructor(
    components: EngineComponents,
    applied: LogIndex,
    events: EngineEvents,
    options: ApplierOptions = {},
  ) {
    this.#raft = components.raft;
    this.#storage = components.storage;
    this.#machine = components.machine;
    this.#clock = components.clock;
    this.#leaseNowMs = components.leaseNowMs;
    this.#events = events;
    this.#applier = new Applier(
      components,
      applied,
      {
        onApplied: (entry, result) => events.onApplied(entry, result),
        onConfig: (entry) => void this.#raft.applyConfChange(decodeConfChange(entry.data)),
        onProgress: (index, term) => {
          this.#raft.applied(index);
          events.onProgress(index, term);
          this.wake();
        },
        onError: (error) => this.#fail(error),
      },
      options,
    );
  }

  get applied(): LogIndex {
    return this.#applier.applied;
  }

  /** Entries committed and not applied yet. */
  get applyBacklog(): number {
    return this.#applier.backlog;
  }

  /** How long the oldest batch has been waiting for the disk; 0 if none does. */
  get writeAgeMs(): number {
    const oldest = this.#outstanding[0];
    return oldest === undefined ? 0 : this.#clock.monotonicMs() - oldest.sinceMs;
  }

  /** Lets `action` talk to the core, then sees to what follows from it. */
  use<T>(action: (raft: RaftNode) => T): T {
    invariant(!this.#ended, 'an engine that ended is not used');
    this.wake();
    return action(this.#raft);
  }

  /** False once it ended; whoever still hears from the network asks first. */
  get running(): boolean {
    return !this.#ended;
  }

  /** True while a leader's snapshot takes the place of the state; the core is at its index already. */
  get installing(): boolean {
    return this.#installing;
  }

  /** Looks for work at the end of this turn. */
  wake(): void {
    if (this.#scheduled || this.#ended) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#pump());
  }

  /** Stops taking batches, and waits for what is on its way to the disk. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const hardState = this.#deferredHardState;
    this.#forgetDeferred();
    if (hardState !== undefined) await this.#storage.append({ entries: [], hardState });
  }

  #pump(): void {
    this.#scheduled = false;
    try {
      while (!this.#ended && !this.#installing && this.#raft.hasReady()) {
        this.#handle(this.#raft.ready(this.#leaseNowMs?.()));
      }
      if (!this.#ended) this.#events.onStatus(this.#raft.status());
    } catch (error) {
      this.#fail(error);
    }
  }

  #handle(ready: Ready): void {
    for (const message of ready.messages) this.#send(message);
    if (ready.snapshot !== undefined) {
      this.#installing = true;
      this.#install(ready, ready.snapshot).catch((error: unknown) => this.#fail(error));
      return;
    }
    this.#persist(ready);
    this.#applier.add(ready.committed);
    for (const state of ready.readStates) this.#events.onRead(state);
  }

  #persist(ready: Ready): void {
    const { entries, mustSync } = ready;
    const write = entries.length > 0 || (mustSync && ready.hardState !== undefined);
    const hardState = ready.hardState ?? this.#deferredHardState;
    const sinceMs = this.#clock.monotonicMs();
    const outstanding = { ready, sinceMs, durable: !write };
    this.#outstanding.push(outstanding);
    if (!write) {
      this.#deferredHardState = hardState;
      this.#noteCommitWhenQuiet();
      this.#acknowledge();
      return;
    }
    this.#forgetDeferred();
    this.#storage.append({ entries, hardState }).then(
      () => {
        outstanding.durable = true;
        this.#acknowledge();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /**
   * A member that starts while it is cut off applies what it knows to be committed, and nothing more. Without this it would
   * come back without the last write before it died, for as long as the group was idle.
   */
  #noteCommitWhenQuiet(): void {
    if (this.#deferredHardState === undefined || this.#quiet !== undefined) return;
    this.#quiet = this.#clock.after(QUIET_MS, () => {
      this.#quiet = undefined;
      const hardState = this.#deferredHardState;
      // While a snapshot is taken over, its own write carries it.
      if (hardState === undefined || this.#ended || this.#installing) return;
      this.#deferredHardState = undefined;
      this.#storage.append({ entries: [], hardState }).catch((error: unknown) => this.#fail(error));
    });
  }

  #forgetDeferred(): void {
    this.#deferredHardState = undefined;
    this.#quiet?.cancel();
    this.#quiet = undefined;
  }

  /** In order: a batch that needed no write waits for those before it. */
  #acknowledge(): void {
    if (this.#ended) return;
    try {
      for (let head = this.#outstanding[0]; head?.durable; head = this.#outstanding[0]) {
        this.#outstanding.shift();
        for (const message of head.ready.messagesAfterPersist) this.#send(message);
        this.#raft.persisted(head.ready);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.wake();
  }

  /** The snapshot's file is durable already; the log must hear of it before any later entry. */
  async #install(ready: Ready, meta: SnapshotMeta): Promise<void> {
    await this.#applier.hold();
    const reader = await this.#storage.readSnapshot();
    invariant(reader?.meta.index === meta.index, 'a snapshot is stored before it is stepped', {
      stepped: meta.index,
      stored: reader?.meta.index,
    });
    try {
      await this.#machine.restore(reader.chunks(), reader.meta.level);
    } finally {
      await reader.release();
    }
    const { entries, hardState = this.#deferredHardState } = ready;
    this.#forgetDeferred();
    await this.#storage.append({ reset: meta, entries, hardState });
    if (this.#ended) return;
    this.#outstanding.push({ ready, sinceMs: this.#clock.monotonicMs(), durable: true });
    this.#acknowledge();
    this.#raft.applied(meta.index);
    this.#installing = false;
    this.#applier.resume(meta.index);
    this.#events.onInstalled(meta.index);
    this.#events.onProgress(meta.index, meta.term);
    this.#applier.add(ready.committed);
    for (const state of ready.readStates) this.#events.onRead(state);
    this.wake();
  }

  #send(message: Message): void {
    this.#events.send(message);
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.onFatal(error);
  }
}
