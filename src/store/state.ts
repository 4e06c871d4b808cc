/**
 * The replicated state machine: a pure function from log entries to state and results. No clock, no randomness,
 * no I/O; the same entries give the same bytes on every replica.
 *
 * An apply runs in one turn of the event loop and ends by telling watchers and waiters, so that whoever reads
 * in a turn sees a state and the watch events up to exactly that state.
 */

import type { CommittedEntry, SnapshotSource, StateMachine } from '../consensus/types.ts';
import { invariant } from '../lib/invariant.ts';
import { type Logger, silentLogger } from '../lib/logger.ts';
import type { ClusterKey } from '../sealing/cluster-key.ts';
import { type Command, type CommandResult, decodeCommand } from './commands.ts';
import { digestOf } from './digest.ts';
import { History, type HistoryOptions } from './history.ts';
import { resourcePrefixOf } from './keys.ts';
import { listFormer } from './list-former.ts';
import { RevisionWaiters } from './revision-waiters.ts';
import { SEALING_KEY, Sealing } from './sealing.ts';
import { Sessions } from './sessions.ts';
import { readSnapshot, type StateImage, snapshotSource } from './snapshot.ts';
import { SortedMap, type SortedReader } from './sorted-map.ts';
import { stateDifference } from './state-difference.ts';
import { deletedVersion, putVersion } from './stored-version.ts';
import type {
  Check,
  EventPage,
  Key,
  ListOptions,
  ListResult,
  Operation,
  Revision,
  StoredObject,
  StoreEvent,
  StoreReader,
  StoreUsage,
  StoreView,
  StoreWatch,
  Transaction,
  TransactionResult,
  WatchSink,
} from './types.ts';
import { WatchHub } from './watch-hub.ts';

/** Limits and collaborators of a replica's state. */
export type StoreStateOptions = HistoryOptions & {
  readonly logger?: Logger;
  /** For values that are sealed in the log and in snapshots. Default: none; then only a state without any can be held. */
  readonly clusterKey?: ClusterKey;
};

/** The state of one replica: state machine to consensus, reader to everybody else. */
export class StoreState implements StateMachine, StoreReader {
  #objects = new SortedMap<StoredObject>();
  #changedAt = new Map<string, Revision>();
  #fences = new Map<string, number>();
  #sessions = new Sessions();
  #revision = 0 as Revision;
  #appliedIndex = 0;
  #bytes = 0;
  readonly #history: History;
  readonly #hub: WatchHub;
  readonly #waiters = new RevisionWaiters();
  readonly #clusterKey: ClusterKey | undefined;
  /** What is sealed, and under which key. */
  readonly sealing: Sealing;

  constructor(options: StoreStateOptions = {}) {
    this.#clusterKey = options.clusterKey;
    this.sealing = new Sealing(options.clusterKey);
    this.#history = new History(options);
    this.#hub = new WatchHub(options.logger ?? silentLogger);
  }

  /** Log position of the newest applied entry. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Open watches on this replica. */
  get watchers(): number {
    return this.#hub.size;
  }

  apply(entries: readonly CommittedEntry[]): CommandResult[] {
    const results = entries.map((entry) => this.#applyEntry(entry));
    this.#history.settle(this.#revision);
    this.#hub.flush(this.#revision);
    this.#waiters.reached(this.#revision);
    return results;
  }

  snapshot(): SnapshotSource {
    return snapshotSource(this.#image());
  }

  /** The same text on every replica that has applied the same entries; see digest.ts. */
  digest(): string {
    return digestOf(this.#image());
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#replace(await readSnapshot(chunks, this.#clusterKey));
  }

  revision(): Revision {
    return this.#revision;
  }

  oldestRevision(): Revision {
    return this.#history.oldest;
  }

  changedAt(prefix: string): Revision | 0 {
    return this.#changedAt.get(prefix) ?? 0;
  }

  get(key: Key): StoredObject | undefined {
    return this.#objects.get(key);
  }

  count(prefix: string): number {
    return this.#objects.count(prefix);
  }

  view(prefix: string): StoreView {
    const frozen = this.#objects.view();
    return {
      revision: this.#revision,
      size: frozen.count(prefix),
      values: () => frozen.values(prefix),
    };
  }

  usage(): StoreUsage {
    return {
      objects: this.#objects.size,
      bytes: this.#bytes,
      historyEvents: this.#history.size,
      historyBytes: this.#history.bytes,
      watches: this.#hub.size,
    };
  }

  endangeredRevision(): Revision | 0 {
    return this.#history.endangered;
  }

  eventsSince(
    prefix: string,
    from: Revision,
    eventsMax: number,
  ):
    | ({ readonly kind: 'events' } & EventPage)
    | { readonly kind: 'too-old'; readonly oldest: Revision } {
    const oldest = this.#history.unableToResume(from);
    if (oldest !== undefined) return { kind: 'too-old', oldest };
    if (this.#unchangedSince(prefix, from)) {
      return { kind: 'events', events: [], through: this.#revision, complete: true };
    }
    return { kind: 'events', ...this.#history.page(from, prefix, eventsMax) };
  }

  list(prefix: string, options: ListOptions = {}): ListResult {
    const { after, limit = Number.POSITIVE_INFINITY, atRevision } = options;
    if (atRevision !== undefined && atRevision < this.#revision) {
      return this.#listAt(prefix, atRevision, options);
    }
    const items: StoredObject[] = [];
    if (limit > 0) {
      for (const object of this.#objects.values(prefix, after)) {
        items.push(object);
        if (items.length >= limit) break;
      }
    }
    const remaining =
      items.length < limit ? 0 : this.#objects.count(prefix, items.at(-1)?.key ?? after);
    return { kind: 'listed', items, revision: this.#revision, remaining };
  }

  watch(
    prefix: string,
    from: Revision | undefined,
    sink: WatchSink,
  ):
    | { readonly kind: 'watching'; readonly watch: StoreWatch }
    | { readonly kind: 'too-old'; readonly oldest: Revision } {
    const oldest = from === undefined ? undefined : this.#history.unableToResume(from);
    if (oldest !== undefined) return { kind: 'too-old', oldest };
    const missed =
      from === undefined || this.#unchangedSince(prefix, from)
        ? []
        : this.#history.since(from, prefix);
    const watch = this.#hub.add(prefix, sink);
    if (missed.length > 0) this.#hub.deliver(sink, missed, this.#revision);
    return { kind: 'watching', watch };
  }

  /** Calls `resolve` once `revision` is applied (at once if it is); the returned function withdraws. */
  onRevision(revision: Revision, resolve: () => void): () => void {
    if (revision > this.#revision) return this.#waiters.add(revision, resolve);
    resolve();
    return () => {};
  }

  /**
   * For tools that rebuild a state offline: moves the revision on without a write. Whoever saw revisions that this
   * state lacks will find that all of them are too old, instead of taking new ones for those it has seen.
   */
  skipTo(revision: Revision): void {
    invariant(revision >= this.#revision, 'revisions never go back', {
      from: this.#revision,
      to: revision,
    });
    this.#revision = revision;
    this.#history.reset(revision);
  }

  /** Begins the state of a new cluster: `record` is in force from its first entry on, and no secret is ever written in plain. */
  found(record: Uint8Array): void {
    invariant(this.#appliedIndex === 0 && this.#revision === 0, 'a state is founded when empty');
    const put = { op: 'put', key: SEALING_KEY, value: record, revisionOffset: -1 } as const;
    this.#operate(put, 1 as Revision);
    this.sealing.adopt(record, 0);
  }

  #applyEntry(entry: CommittedEntry): CommandResult {
    invariant(entry.index > this.#appliedIndex, 'entries are applied once, in order', {
      index: entry.index,
      applied: this.#appliedIndex,
    });
    this.#appliedIndex = entry.index;
    const command = decodeCommand(entry.data);
    if (typeof command === 'string') return { kind: 'invalid', reason: command };
    return this.#sessions.answer(command, entry.index, () =>
      command.kind === 'claim'
        ? this.#claim(command.name, command.term)
        : this.#open(command, entry.index),
    );
  }

  #open(command: Extract<Command, { readonly kind: 'transaction' }>, index: number): CommandResult {
    const opened = this.sealing.open(command, index);
    if (opened.kind !== 'opened') return opened;
    const result = this.#transact(opened.transaction);
    const { record } = opened;
    if (record !== undefined && result.kind === 'committed') this.sealing.adopt(record, index);
    return result;
  }

  #claim(name: string, term: number): CommandResult {
    const newest = this.#fences.get(name) ?? 0;
    if (term < newest) return { kind: 'fenced', newestTerm: newest };
    this.#fences.set(name, term);
    return { kind: 'claimed', revision: this.#revision };
  }

  #transact(transaction: Transaction): TransactionResult {
    const { checks, operations, fence } = transaction;
    if (fence !== undefined) {
      const newestTerm = this.#fences.get(fence.name) ?? 0;
      if (fence.term !== newestTerm) return { kind: 'fenced', newestTerm };
    }
    for (const check of checks) {
      const found = this.#objects.get(check.key);
      if (!holds(check, found)) {
        return { kind: 'conflict', key: check.key, found: found?.revision ?? 0 };
      }
    }
    const revision = (this.#revision + 1) as Revision;
    for (const operation of operations) this.#operate(operation, revision);
    return { kind: 'committed', revision: this.#revision };
  }

  /** The revision moves with the first operation that changes something. */
  #operate(operation: Operation, revision: Revision): void {
    const { key } = operation;
    const previous = this.#objects.get(key);
    let event: StoreEvent;
    if (operation.op === 'put') {
      const { value, revisionOffset } = operation;
      const createRevision = previous?.createRevision ?? revision;
      const object = putVersion({ key, value, revisionOffset, revision, createRevision });
      this.#objects.set(key, object);
      this.#bytes += weightOf(object) - (previous === undefined ? 0 : weightOf(previous));
      event = { type: 'put', object, previous };
    } else {
      if (previous === undefined) return;
      this.#objects.delete(key);
      this.#bytes -= weightOf(previous);
      event = { type: 'delete', object: deletedVersion(previous, revision), previous };
    }
    this.#revision = revision;
    this.#changedAt.set(resourcePrefixOf(key), revision);
    this.#history.push(event);
    this.#hub.collect(event);
  }

  #image(): StateImage<SortedReader<StoredObject>> {
    return {
      revision: this.#revision,
      appliedIndex: this.#appliedIndex,
      fences: [...this.#fences],
      changedAt: [...this.#changedAt],
      sessions: this.#sessions.image(),
      sealing: this.sealing.image(),
      objects: this.#objects.view(),
    };
  }

  /** Spares the many who resume a quiet resource a search through the window. */
  #unchangedSince(prefix: string, from: Revision): boolean {
    const resource = resourcePrefixOf(prefix);
    const whole = resource.endsWith('/') && resource.indexOf('/', 1) < resource.length - 1;
    return whole && this.changedAt(resource) <= from;
  }

  /** The present with every later change taken back, key by key. */
  #listAt(prefix: string, atRevision: Revision, options: ListOptions): ListResult {
    const oldest = this.#history.exactSince;
    if (atRevision < oldest) return { kind: 'too-old', oldest };
    const former = this.#history.overlay(atRevision, prefix);
    return {
      kind: 'listed',
      revision: atRevision,
      ...listFormer(this.#objects, former, prefix, options),
    };
  }

  /**
   * The state jumps. Watchers get the difference as events, also those who resume later: they stay correct without
   * knowing. What happened in between cannot be listed.
   */
  #replace(image: StateImage<SortedMap<StoredObject>>): void {
    invariant(image.appliedIndex >= this.#appliedIndex, 'a snapshot never goes back', {
      applied: this.#appliedIndex,
      snapshot: image.appliedIndex,
    });
    const span = { from: this.#revision, to: image.revision };
    // At a start nobody watches, and there is no past to resume from.
    const first = this.#appliedIndex === 0 && this.#hub.size === 0;
    const events = first ? [] : stateDifference(this.#objects, image.objects, span);
    this.#objects = image.objects;
    this.#bytes = 0;
    for (const object of image.objects.values('')) this.#bytes += weightOf(object);
    this.#changedAt = new Map(image.changedAt);
    this.#fences = new Map(image.fences);
    this.#sessions = Sessions.fromImage(image.sessions);
    this.sealing.restore(image.sealing);
    this.#revision = image.revision;
    this.#appliedIndex = image.appliedIndex;
    if (first) this.#history.reset(image.revision);
    else this.#history.jump(events, span);
    for (const event of events) this.#hub.collect(event);
    this.#hub.flush(this.#revision);
    this.#waiters.reached(this.#revision);
  }
}

/** What an object counts for in the quota. */
function weightOf(object: StoredObject): number {
  return object.key.length + object.bytes.length;
}

function holds(check: Check, found: StoredObject | undefined): boolean {
  switch (check.is) {
    case 'absent':
      return found === undefined;
    case 'present':
      return found !== undefined;
    default:
      return found?.revision === check.revision;
  }
}
