/**
 * A group of members joined by an in-memory network, each with a disk that keeps what was persisted
 * and nothing else. Deterministic: messages travel in the order they were sent, randomness is seeded.
 */

import { emptyConfState, foundingConfState } from '../../../raft/config-change.ts';
import type { RaftNode } from '../../../raft/raw-node.ts';
import { createRaftNode, decodeConfChange } from '../../../raft/raw-node.ts';
import type {
  ConfState,
  Entry,
  HardState,
  InitialState,
  LogIndex,
  Message,
  NodeId,
  RaftOptions,
  ReadState,
  Ready,
  SnapshotMeta,
} from '../../../raft/types.ts';
import { asIndex, asTerm } from '../../../raft/types.ts';
import { seededRandom } from '../../../src/lib/random.ts';

export type MemberOptions = Partial<Omit<RaftOptions, 'id'>>;

/** What survives a crash. */
export type Disk = { hardState: HardState; snapshot: SnapshotMeta; entries: Entry[] };

/** The disk of a member of a group founded by `voters`: the log begins behind index 1 of term 1. */
export function foundedDisk(voters: readonly NodeId[], extra: Partial<ConfState> = {}): Disk {
  const confState = { ...foundingConfState(voters), ...extra };
  return {
    hardState: { term: asTerm(1), vote: undefined, commit: asIndex(1) },
    snapshot: { index: asIndex(1), term: asTerm(1), confState },
    entries: [],
  };
}

/** The disk of a member that has yet to be told everything. */
export function blankDisk(): Disk {
  return {
    hardState: { term: asTerm(0), vote: undefined, commit: asIndex(0) },
    snapshot: { index: asIndex(0), term: asTerm(0), confState: emptyConfState },
    entries: [],
  };
}

/** Entries as the disk holds them: a newer write cuts the old tail. */
export function writeEntries(disk: Disk, entries: readonly Entry[]): void {
  const [first] = entries;
  if (first === undefined) return;
  disk.entries = disk.entries.filter((entry) => entry.index < first.index).concat(entries);
}

/** One member with its disk and the trace of what its state machine took. */
export class Member {
  readonly id: NodeId;
  readonly disk: Disk;
  readonly options: RaftOptions;
  readonly applied: Entry[] = [];
  readonly reads: ReadState[] = [];
  node: RaftNode;
  /** Batches taken and not yet persisted, the oldest first. */
  readonly pending: Ready[] = [];
  /** The time that comes with batches; undefined: none does, so that there are no leases. */
  nowMs: number | undefined;

  constructor(id: NodeId, disk: Disk, options: RaftOptions) {
    this.id = id;
    this.disk = disk;
    this.options = options;
    this.node = createRaftNode(options, initialOf(disk));
  }

  /** Loses everything that was not persisted. */
  restart(): void {
    this.pending.length = 0;
    this.applied.length = 0;
    this.node = createRaftNode(this.options, initialOf(this.disk));
  }

  /** Takes a batch; returns what may leave at once. */
  take(): readonly Message[] {
    const ready = this.node.ready(this.nowMs);
    this.pending.push(ready);
    return ready.messages;
  }

  /**
   * Makes the oldest batch durable and, unless `apply` is false, applies what it carries; returns
   * what may leave now.
   */
  persist({ apply = true }: { readonly apply?: boolean } = {}): readonly Message[] {
    const ready = this.pending.shift();
    if (ready === undefined) return [];
    if (ready.snapshot !== undefined) {
      this.disk.snapshot = ready.snapshot;
      this.disk.entries = [];
    }
    writeEntries(this.disk, ready.entries);
    if (ready.hardState !== undefined) this.disk.hardState = ready.hardState;
    this.node.persisted(ready);
    if (ready.snapshot !== undefined) this.node.applied(ready.snapshot.index);
    if (apply) this.apply(ready.committed);
    this.reads.push(...ready.readStates);
    return ready.messagesAfterPersist;
  }

  apply(committed: readonly Entry[]): void {
    for (const entry of committed) {
      if (entry.kind === 'config') this.node.applyConfChange(decodeConfChange(entry.data));
      this.applied.push(entry);
    }
    const last = committed[committed.length - 1];
    if (last !== undefined) this.node.applied(last.index);
  }

  /** Makes a snapshot of everything applied and keeps `keep` entries before it. */
  compact(keep = 0): void {
    const { applied } = this.node.status();
    const meta = this.node.snapshotMeta(applied);
    this.disk.snapshot = meta;
    this.disk.entries = this.disk.entries.filter((entry) => entry.index > meta.index);
    this.node.compact(meta, asIndex(applied + 1 - keep));
  }

  /** Data entries that were applied, as text. */
  get data(): string[] {
    const data = this.applied.filter((entry) => entry.kind === 'data');
    return data.map((entry) => new TextDecoder().decode(entry.data));
  }
}

/** See the module comment. */
export class Cluster {
  readonly members = new Map<NodeId, Member>();
  /** Messages that are under way. */
  wire: Message[] = [];
  /** Messages for which this is true are lost when they are sent. */
  lose: (message: Message) => boolean = () => false;
  readonly #options: MemberOptions;
  #seed: number;

  constructor(voters: readonly NodeId[], options: MemberOptions & { seed?: number } = {}) {
    const { seed = 1, ...rest } = options;
    this.#seed = seed;
    this.#options = rest;
    for (const id of voters) this.add(id, foundedDisk(voters));
  }

  add(id: NodeId, disk: Disk = blankDisk()): Member {
    const random = seededRandom(this.#seed++);
    const member = new Member(id, disk, { random: () => random.float(), ...this.#options, id });
    this.members.set(id, member);
    return member;
  }

  get(id: NodeId): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  get leader(): Member | undefined {
    const leaders = [...this.members.values()].filter((m) => m.node.status().role === 'leader');
    return leaders.sort((a, b) => b.node.status().term - a.node.status().term)[0];
  }

  /** Lets everybody work until nothing is left to do. Throws when that takes too many rounds. */
  settle(roundsMax = 10_000): void {
    for (let round = 0; round < roundsMax; round++) {
      let busy = false;
      for (const member of this.members.values()) {
        while (member.node.hasReady()) {
          busy = true;
          this.send(member.take());
          this.send(member.persist());
        }
      }
      const under = this.wire;
      this.wire = [];
      for (const message of under) {
        busy = true;
        this.deliver(message);
      }
      if (!busy) return;
    }
    throw new Error('the group does not come to rest');
  }

  deliver(message: Message): void {
    const member = this.members.get(message.to);
    member?.node.step(message);
    // The transport vouches for the transfer of the state machine's bytes.
    if (message.type === 'snapshot')
      this.members.get(message.from)?.node.reportSnapshot(message.to, member !== undefined);
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) if (!this.lose(message)) this.wire.push(message);
  }

  /** Everybody's clock moves, the group settling after each tick. */
  tick(count = 1, only?: readonly NodeId[]): void {
    for (let tick = 0; tick < count; tick++) {
      for (const member of this.members.values())
        if (only === undefined || only.includes(member.id)) member.node.tick();
      this.settle();
    }
  }

  /** Makes `id` leader by an ordinary campaign. */
  elect(id: NodeId): Member {
    this.get(id).node.campaign();
    this.settle();
    const member = this.get(id);
    if (member.node.status().role !== 'leader') throw new Error(`${id} was not elected`);
    return member;
  }

  /** Cuts the members named off from all others. */
  isolate(...ids: readonly NodeId[]): void {
    const cut = new Set(ids);
    this.lose = (message) => cut.has(message.from) !== cut.has(message.to);
  }

  heal(): void {
    this.lose = () => false;
  }
}

/** What the core starts from. */
export function initialOf(disk: Disk): InitialState {
  const { hardState, snapshot, entries } = disk;
  const behind = entries.filter((entry) => entry.index > snapshot.index);
  const commit = Math.max(hardState.commit, snapshot.index) as LogIndex;
  return { hardState: { ...hardState, commit }, snapshot, entries: behind };
}

/** Text as bytes. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
