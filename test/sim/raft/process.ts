/**
 * One incarnation of a member: does with the core's batches what src/consensus does, on virtual time.
 * Writing, sending and applying overlap; later batches are taken before earlier ones are durable.
 */

import type { RaftNode } from '../../../raft/raw-node.ts';
import type {
  Entry,
  HardState,
  Message,
  NodeId,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../../raft/types.ts';
import { asIndex, asTerm } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Checkers } from './checkers/checkers.ts';
import type { SimDisk } from './disk.ts';
import { decodeCommand, KvMachine } from './kv-machine.ts';
import { LogView } from './log-view.ts';
import { momentOf } from './moments.ts';
import { OwnSnapshots } from './own-snapshots.ts';
import { Requests } from './requests.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';
import { CheckFailure } from './world.ts';

export type ProcessComponents = {
  readonly world: World;
  readonly random: Random;
  readonly disk: SimDisk;
  readonly checkers: Checkers;
  readonly options: SwarmOptions;
  /** Runs `action` in a turn of this process, unless it has ended. */
  readonly turn: (action: () => void) => void;
  readonly send: (message: Message) => void;
  /** Entries behind this index must stay: a snapshot is on its way to a peer. */
  readonly retain: () => number;
};

type Outstanding = { readonly ready: Ready; durable: boolean };

/** Request ids of different incarnations never meet. */
const REQUEST_IDS = 1_000_000;

export class Process {
  readonly id: NodeId;
  readonly raft: RaftNode;
  readonly machine = new KvMachine();
  readonly requests: Requests;
  /** The log as it was handed out to be written. */
  readonly log: LogView;
  /** Where this incarnation began to apply. */
  readonly begunAt: number;
  readonly #components: ProcessComponents;
  readonly #outstanding: Outstanding[] = [];
  #deferredHardState: HardState | undefined;
  #queue: Entry[] = [];
  #applied: number;
  #applying = false;
  #held = false;
  #onIdle: (() => void) | undefined;
  #installing = false;
  #pumpDue = false;
  readonly #snapshots: OwnSnapshots;
  #led = false;
  #committed = 0;

  constructor(id: NodeId, incarnation: number, components: ProcessComponents) {
    const { world, disk, random, options, checkers } = components;
    this.id = id;
    this.#components = components;
    const stored = disk.open();
    const snapshot = stored.snapshot ?? noSnapshot;
    const hardState = stored.hardState ?? noHardState;
    const settings = {
      ...options.raft,
      id,
      random: () => random.float(),
      ...(world.tracing ? { trace: traceOf(world, id) } : {}),
    };
    this.raft = world.core.createRaftNode(settings, {
      hardState,
      snapshot,
      entries: stored.entries,
    });
    if (disk.snapshot !== undefined) this.machine.restore(disk.snapshot.image);
    this.log = LogView.of(snapshot, stored.entries);
    this.#applied = snapshot.index;
    this.begunAt = snapshot.index;
    this.#snapshots = new OwnSnapshots(components, snapshot.index);
    const reused = world.faults.has('request-ids-reused');
    this.requests = new Requests(
      this,
      { world, checkers },
      reused ? 0 : (incarnation + 1) * REQUEST_IDS,
    );
    checkers.started(this, stored.hardState, snapshot);
  }

  get applied(): number {
    return this.#applied;
  }

  /** True while a snapshot is being taken over: the core's log is ahead of what was handed out. */
  get installing(): boolean {
    return this.#installing;
  }

  get disk(): SimDisk {
    return this.#components.disk;
  }

  get status(): RaftStatus {
    return this.raft.status();
  }

  /** The end of a turn: sees to what follows from it, at once or a moment later. */
  endTurn(): void {
    const { world, random, options } = this.#components;
    if (options.pumpLagMs === 0) {
      this.pump();
      return;
    }
    if (this.#pumpDue) return;
    this.#pumpDue = true;
    world.after(exponential(random, options.pumpLagMs), () =>
      this.#components.turn(() => {
        this.#pumpDue = false;
        this.pump();
      }),
    );
  }

  /** Takes and handles what the core has to hand out. */
  pump(): void {
    const { world } = this.#components;
    this.requests.flush();
    while (!this.#installing && this.raft.hasReady()) this.#handle(this.raft.ready());
    const status = this.raft.status();
    const leads = status.role === 'leader';
    if (this.#led && !leads) this.requests.leadershipLost();
    if (!this.#led && leads) world.moment(this.id, 'elected');
    if (leads && status.commit > this.#committed) world.moment(this.id, 'commit');
    this.#committed = status.commit;
    this.#led = leads;
    this.#components.checkers.observed(this, status);
  }

  #handle(ready: Ready): void {
    const { checkers, world } = this.#components;
    if (ready.snapshot !== undefined) this.log.reset(ready.snapshot);
    for (const entry of ready.entries) {
      checkers.writes(this, entry);
      if (entry.kind === 'config') world.moment(this.id, 'config written');
      if (this.log.write(entry)) continue;
      const facts = { member: this.id, index: entry.index, last: this.log.lastIndex };
      throw new CheckFailure('log matching', 'entries are handed out without a gap', facts);
    }
    for (const message of ready.messages) this.#send(message);
    if (world.faults.has('send-before-sync')) {
      for (const message of ready.messagesAfterPersist) this.#send(message);
    }
    if (ready.snapshot !== undefined) {
      this.#beginInstall(ready, ready.snapshot);
      return;
    }
    this.#persist(ready);
    this.#apply(ready.committed);
    for (const state of ready.readStates) this.requests.confirmed(state);
  }

  #persist(ready: Ready): void {
    const { disk, world, turn } = this.#components;
    const { entries, mustSync } = ready;
    const write = entries.length > 0 || (mustSync && ready.hardState !== undefined);
    const hardState = ready.hardState ?? this.#deferredHardState;
    const outstanding = { ready, durable: !write };
    this.#outstanding.push(outstanding);
    if (!write) {
      this.#deferredHardState = hardState;
      this.#acknowledge();
      return;
    }
    this.#deferredHardState = undefined;
    if (entries.length === 0) world.moment(this.id, 'term');
    const forgets = world.faults.has('forget-hard-state') && entries.length === 0;
    disk.append({ entries, hardState: forgets ? undefined : hardState }, () =>
      turn(() => {
        if (outstanding.durable) return;
        outstanding.durable = true;
        this.#acknowledge();
      }),
    );
    if (!world.faults.has('persisted-before-sync')) return;
    outstanding.durable = true;
    this.#acknowledge();
  }

  /** In order: a batch that needed no write waits for those before it. */
  #acknowledge(): void {
    const sent = this.#components.world.faults.has('send-before-sync');
    for (let head = this.#outstanding[0]; head?.durable; head = this.#outstanding[0]) {
      this.#outstanding.shift();
      if (!sent) for (const message of head.ready.messagesAfterPersist) this.#send(message);
      this.raft.persisted(head.ready);
    }
  }

  #send(message: Message): void {
    const { checkers, world, send } = this.#components;
    checkers.sends(this, message);
    send(message);
    const moment = momentOf(message);
    if (moment !== undefined) world.moment(this.id, moment);
  }

  #apply(entries: readonly Entry[]): void {
    this.#queue.push(...entries);
    if (!this.#applying) this.#applyOn();
  }

  #applyOn(): void {
    if (this.#held) return;
    const { world, random, options, turn } = this.#components;
    while (this.#queue.length > 0) {
      this.#applying = true;
      this.#applyPage();
      if (options.applyLagMs === 0 || world.calm || this.#queue.length === 0) continue;
      world.after(exponential(random, options.applyLagMs), () => turn(() => this.#applyOn()));
      return;
    }
    this.#applying = false;
    const idle = this.#onIdle;
    this.#onIdle = undefined;
    idle?.();
  }

  /** A run of data entries goes to the state machine at once; anything else goes alone. */
  #applyPage(): void {
    const { applyPage } = this.#components.options;
    for (let count = 0; count < applyPage; count++) {
      const entry = this.#queue[0];
      if (entry === undefined || (count > 0 && entry.kind !== 'data')) break;
      this.#queue.shift();
      this.#applyEntry(entry);
      if (entry.kind !== 'data') break;
    }
    this.raft.applied(asIndex(this.#applied));
    this.requests.progressed();
    // The core's log is the one behind the leader's snapshot already.
    if (!this.#installing) this.#snapshots.consider(this);
  }

  #applyEntry(entry: Entry): void {
    const { checkers, world } = this.#components;
    const command = entry.kind === 'data' ? decodeCommand(entry.data) : undefined;
    const outcome = this.machine.apply(entry.index, command, !world.faults.has('apply-retries'));
    if (entry.kind === 'config') {
      const before = this.raft.status().confState;
      const change = world.core.decodeConfChange(entry.data);
      const after = this.raft.applyConfChange(change);
      // The configuration of the snapshot that is being taken over is in force already.
      if (!this.#installing) checkers.reconfigured(this, entry.index, { before, after });
      world.moment(this.id, 'config applied');
    }
    checkers.applies(this, { entry, applied: this.#applied, outcome });
    this.#applied = entry.index;
    this.requests.applied(entry, outcome);
  }

  #beginInstall(ready: Ready, meta: SnapshotMeta): void {
    const { world, random, options, turn } = this.#components;
    this.#installing = true;
    world.moment(this.id, 'snapshot installing');
    const install = () => {
      this.#held = true;
      const delayMs = exponential(random, options.applyLagMs);
      world.after(delayMs, () => turn(() => this.#install(ready, meta)));
    };
    if (this.#applying) this.#onIdle = install;
    else install();
  }

  #install(ready: Ready, meta: SnapshotMeta): void {
    const { disk, checkers, world, turn } = this.#components;
    const stored = disk.snapshot;
    if (stored?.meta.index !== meta.index) {
      const facts = { member: this.id, stepped: meta.index, stored: stored?.meta.index };
      throw new CheckFailure('driver', 'a snapshot is stored before it is stepped', facts);
    }
    const forgets = world.faults.has('sessions-not-in-snapshot');
    this.machine.restore(forgets ? { ...stored.image, sessions: new Map() } : stored.image);
    world.count('snapshot installed');
    const { entries, hardState = this.#deferredHardState } = ready;
    this.#deferredHardState = undefined;
    disk.append({ reset: meta, entries, hardState }, () =>
      turn(() => {
        this.#outstanding.push({ ready, durable: true });
        this.#acknowledge();
        this.raft.applied(meta.index);
        this.#installing = false;
        this.#held = false;
        this.#applied = meta.index;
        this.#snapshots.installed(meta.index);
        checkers.restored(this, meta);
        this.requests.progressed();
        this.#apply(ready.committed);
        for (const state of ready.readStates) this.requests.confirmed(state);
      }),
    );
  }
}

const noSnapshot: SnapshotMeta = {
  index: asIndex(0),
  term: asTerm(0),
  confState: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
};
const noHardState: HardState = { term: asTerm(0), vote: undefined, commit: asIndex(0) };

function traceOf(world: World, id: NodeId) {
  return (event: string, facts: Readonly<Record<string, unknown>>) => {
    const shown = Object.entries(facts).map(([key, value]) => `${key}=${show(value)}`);
    world.trace(id, event, shown.join(' '));
  };
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none');
}
