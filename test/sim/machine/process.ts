/**
 * One process of a member: the product's own consensus and store, put together as a node puts them together, on a simulated
 * clock, disk and mesh. Everything that enters it enters in a turn of its event loop; the checkers look on from outside.
 */

import type { RaftNode } from '../../../raft/raw-node.ts';
import type {
  Entry,
  HardState,
  InitialState,
  Message,
  NodeId,
  RaftOptions,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../../raft/types.ts';
import { decodeMessages } from '../../../src/consensus/message-codec.ts';
import type { Consensus, StateMachine } from '../../../src/consensus/types.ts';
import type { LevelRange } from '../../../src/consensus/versions.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { crc32c } from '../../../src/lib/crc32c.ts';
import { type Logger, silentLogger } from '../../../src/lib/logger.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { MeshStream } from '../../../src/mesh/types.ts';
import type { CommandResult } from '../../../src/store/commands.ts';
import type { StoreState } from '../../../src/store/state.ts';
import type { Store } from '../../../src/store/types.ts';
import type { Checkers } from '../checkers/checkers.ts';
import { isCommand } from '../checkers/history.ts';
import type { Observed } from '../checkers/observed.ts';
import { LogView } from '../world/log-view.ts';
import { momentOf } from '../world/moments.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { TurnTaker, World } from '../world/world.ts';
import { processClock } from './clock.ts';
import type { Connections } from './connections.ts';
import type { SimDisk } from './disk.ts';
import { SimMesh } from './mesh.ts';
import type { SimNetwork } from './network.ts';
import { observedCore } from './observed-core.ts';
import type { StreamOwner } from './stream.ts';

export type ProcessComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly connections: Connections;
  readonly checkers: Checkers;
  readonly options: SwarmOptions;
  readonly disk: SimDisk;
  readonly clock: { readonly rate: number; readonly wallErrorMs: () => number };
  /** What this release understands. */
  readonly levels: { readonly understood: LevelRange; readonly product: string };
  /** The process ends by itself: `error` is what it could not go on with. */
  readonly ends: (process: Process, error: unknown) => void;
  /** Consensus and store are there. */
  readonly ready: (process: Process) => void;
};

/** What a process offers once it has started. */
export type Services = {
  readonly consensus: Consensus;
  readonly store: Store;
};

/** A whole state is checksummed at every index that this divides. */
const DIGEST_EVERY = 8;
const RAFT_PROTOCOL = '/skein/raft/1';

export class Process implements StreamOwner, TurnTaker, Observed {
  readonly id: NodeId;
  readonly self: NodeId;
  readonly incarnation: number;
  readonly state: StoreState;
  readonly mesh: SimMesh;
  readonly clock: Clock;
  log = new LogView();
  begunAt = 0;
  /** Revisions that the state jumped over, with leaders' snapshots. */
  readonly jumps: { readonly from: number; to: number }[] = [];
  /** What an operator or a rumour does to the core, with its next tick. */
  readonly deeds: ((core: RaftNode) => void)[] = [];
  readonly #components: ProcessComponents;
  readonly #endListeners = new Set<() => void>();
  #core: RaftNode | undefined;
  #services: Services | undefined;
  #alive = true;
  #paused = false;
  #inbox: (() => void)[] = [];
  #turnMs = 0;
  #busyUntilMs = 0;
  #wakeDue = false;
  readonly #pending: Entry[] = [];
  #applied = 0;
  #appliedEntry = 0;
  #installing: SnapshotMeta | undefined;
  #led = false;
  #committed = 0;

  constructor(id: NodeId, incarnation: number, components: ProcessComponents) {
    const { world, network, connections, options, random } = components;
    this.id = id;
    this.self = id;
    this.incarnation = incarnation;
    this.#components = components;
    this.state = new world.product.StoreState({ historyEventsMax: options.historyEvents });
    const clock = this.#processClock();
    this.clock = clock;
    this.mesh = new SimMesh({ world, network, connections, clock, owner: this });
    this.turn(() => void this.#boot(clock, random.fork()));
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get applied(): number {
    return this.#applied;
  }

  get installing(): boolean {
    return this.#installing !== undefined;
  }

  get durable() {
    return this.#components.disk.durable;
  }

  /** Undefined while it starts. */
  get services(): Services | undefined {
    return this.#services;
  }

  /** True once the core runs. */
  get running(): boolean {
    return this.#core !== undefined;
  }

  get status(): RaftStatus {
    if (this.#core === undefined) throw new Error(`${this.id} has no core yet`);
    return this.#core.status();
  }

  /** It stands still, until `resume`; what arrives meanwhile waits. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#work();
  }

  /** From now on every turn takes about so long. */
  slowDown(turnMs: number): void {
    this.#turnMs = turnMs;
  }

  /** It is no more; nothing of it runs again. */
  end(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#inbox = [];
    for (const listener of this.#endListeners) listener();
    this.#endListeners.clear();
  }

  /** Calls `listener` when the process ends; the returned function withdraws. */
  onEnd(listener: () => void): () => void {
    if (!this.#alive) listener();
    else this.#endListeners.add(listener);
    return () => void this.#endListeners.delete(listener);
  }

  /** Runs `action` in a turn of the event loop: now, when the loop comes to it, or never. */
  turn(action: () => void): void {
    if (!this.#alive) return;
    const { nowMs } = this.#components.world;
    if (this.#paused || nowMs < this.#busyUntilMs || this.#inbox.length > 0) {
      this.#inbox.push(action);
      if (!this.#paused) this.#wakeLater();
      return;
    }
    this.#take(action);
  }

  sends(stream: MeshStream, frame: Uint8Array): void {
    if (stream.protocol !== RAFT_PROTOCOL) return;
    const { checkers, world } = this.#components;
    for (const message of messagesIn(frame, this.id, stream.peer)) {
      checkers.sends(this, message);
      const moment = momentOf(message);
      if (moment !== undefined) world.moment(this.id, moment);
    }
  }

  receives(): void {}

  endTurn(): void {
    const core = this.#core;
    if (!this.#alive || core === undefined) return;
    const { world, checkers } = this.#components;
    const status = core.status();
    const leads = status.role === 'leader';
    if (!this.#led && leads) world.moment(this.id, 'elected');
    if (leads && status.commit > this.#committed) world.moment(this.id, 'commit');
    this.#committed = status.commit;
    this.#led = leads;
    checkers.observed(this, status);
  }

  #take(action: () => void): void {
    const { world, random } = this.#components;
    world.touched.add(this);
    if (this.#turnMs > 0 && !world.calm) {
      this.#busyUntilMs = world.nowMs + exponential(random, this.#turnMs);
    }
    action();
  }

  #wakeLater(): void {
    if (this.#wakeDue) return;
    this.#wakeDue = true;
    const { world } = this.#components;
    world.after(Math.max(0, this.#busyUntilMs - world.nowMs), () => {
      this.#wakeDue = false;
      this.#work();
    });
  }

  /** The loop's next turn, then those behind it. */
  #work(): void {
    if (this.#paused || !this.#alive) return;
    const action = this.#inbox.shift();
    if (action !== undefined) this.#take(action);
    if (this.#inbox.length > 0) this.#wakeLater();
  }

  #processClock(): Clock {
    const { world, random, options, clock } = this.#components;
    const lagMs = () => (world.calm ? 0 : exponential(random, options.loopLagMs));
    return processClock({ world, turn: (action) => this.turn(action), ...clock, lagMs });
  }

  async #boot(clock: Clock, random: Random): Promise<void> {
    const { world, disk, options, checkers, ends, levels } = this.#components;
    const { product } = world;
    const logger = world.tracing ? traceLogger(world, this.id) : silentLogger;
    try {
      const consensus = await product.createConsensus(
        {
          mesh: this.mesh,
          storage: disk.open((action) => this.turn(action), clock),
          stateMachine: this.#machine(),
          clock,
          random,
          logger,
          createCore: (settings, initial) =>
            this.#watched(product.createRaftNode(this.#settings(settings), initial), initial),
        },
        {
          tickMs: options.tickMs,
          electionTicks: options.electionTicks,
          heartbeatTicks: options.heartbeatTicks,
          diskStallMs: 1_000,
          levels: { ...levels, raiseAfterMs: options.releases.raiseAfterMs },
          membership: options.autopilot,
          snapshots: {
            snapshotEntries: options.snapshotEntries,
            trailingEntries: options.trailingEntries,
          },
          snapshotTransfer: { stallMs: 2_000 },
          onFatal: (error) => ends(this, error),
        },
      );
      const store = product.createReplicatedStore(
        {
          state: this.state,
          consensus: {
            propose: async (data, how) => {
              const name = checkers.proposals.proposed(data);
              const outcome = await consensus.propose(data, how);
              if (outcome.kind === 'dropped') checkers.proposals.dropped(name);
              return outcome;
            },
            readBarrier: (how) => consensus.readBarrier(how),
          },
          clock,
          random,
        },
        { clientId: `${this.id}.${this.incarnation}` },
      );
      this.#services = { consensus, store };
      this.#components.ready(this);
    } catch (error) {
      ends(this, error);
    }
  }

  #settings(settings: RaftOptions): RaftOptions {
    const { world, options } = this.#components;
    const trace = world.tracing ? traceOf(world, this.id) : undefined;
    return { ...settings, ...options.raft, ...(trace === undefined ? {} : { trace }) };
  }

  /** The state machine is the real one; what it is given and answers is seen. */
  #machine(): StateMachine {
    const { checkers } = this.#components;
    const { state } = this;
    return {
      apply: (entries) => {
        const last = entries.at(-1)?.index ?? 0;
        this.#appliesOthers(entries[0]?.index ?? 0);
        checkers.aboutToApply(this, last);
        const results = state.apply(entries);
        for (const [at, entry] of entries.entries()) this.#applies(entry as Entry, results[at]);
        if (last % DIGEST_EVERY === 0) void this.#digest(last);
        return results;
      },
      snapshot: () => state.snapshot(),
      restore: async (chunks) => {
        // Watchers are told before the promise is kept.
        const jump = { from: state.revision(), to: Number.POSITIVE_INFINITY };
        this.jumps.push(jump);
        await state.restore(chunks);
        jump.to = state.revision();
      },
    };
  }

  /** The view is of this very moment; reading it takes no virtual time. */
  async #digest(index: number): Promise<void> {
    const source = this.state.snapshot();
    let digest = 0;
    for await (const chunk of source.chunks()) digest = crc32c(chunk, digest);
    source.release();
    this.#components.checkers.applied.digest(this.id, index, String(digest));
  }

  #applies(entry: Entry, result: CommandResult | undefined): void {
    this.#pending.shift();
    this.#components.checkers.applies(this, { entry, applied: this.#appliedEntry, result });
    this.#appliedEntry = entry.index;
  }

  #watched(core: RaftNode, initial: InitialState): RaftNode {
    const { world, checkers } = this.#components;
    const { snapshot, entries } = initial;
    this.#core = core;
    this.log = LogView.of(snapshot, entries);
    this.#applied = snapshot.index;
    this.#appliedEntry = snapshot.index;
    this.begunAt = snapshot.index;
    checkers.started(this, knownHardState(initial), snapshot);
    return observedCore(core, {
      beforeTick: () => {
        for (const deed of this.deeds.splice(0)) deed(core);
      },
      steps: (message) => {
        if (world.tracing) world.trace(this.id, 'receive', describeMessage(message));
      },
      took: (ready) => this.#took(ready),
      applied: (index) => this.#appliedUpTo(index),
      reconfigured: (before, after) => {
        const entry = this.#pending[0];
        if (entry?.kind !== 'config') return;
        checkers.aboutToApply(this, entry.index);
        checkers.reconfigured(this, entry.index, { before, after });
        world.moment(this.id, 'config applied');
      },
      snapshots: (meta) => {
        checkers.snapshots(this.id, meta);
        world.count('snapshot taken');
        world.moment(this.id, 'snapshot taken');
      },
      read: () => world.moment(this.id, 'read'),
    });
  }

  #took(ready: Ready): void {
    const { world, checkers } = this.#components;
    if (ready.snapshot !== undefined) {
      this.log.reset(ready.snapshot);
      this.#installing = ready.snapshot;
      world.moment(this.id, 'snapshot installing');
    }
    for (const entry of ready.entries) {
      checkers.writes(this, entry);
      if (entry.kind === 'config') world.moment(this.id, 'config written');
      if (this.log.write(entry)) continue;
      const facts = { member: this.id, index: entry.index, last: this.log.lastIndex };
      checkers.fail('log matching', 'entries are handed out without a gap', facts);
    }
    if (ready.mustSync && ready.entries.length === 0) world.moment(this.id, 'term');
    this.#pending.push(...ready.committed);
  }

  #appliedUpTo(index: number): void {
    const { checkers, world } = this.#components;
    const installing = this.#installing;
    if (installing?.index === index) {
      this.#installing = undefined;
      this.#applied = index;
      this.#appliedEntry = index;
      world.count('snapshot installed');
      checkers.restored(this, installing);
      return;
    }
    this.#appliesOthers(index);
    this.#applied = index;
  }

  /** Entries up to `index` that are not the store's: nobody but the group hears of them. */
  #appliesOthers(index: number): void {
    for (let entry = this.#pending[0]; entry !== undefined; entry = this.#pending[0]) {
      if (entry.index > index || isCommand(entry)) break;
      this.#components.checkers.aboutToApply(this, entry.index);
      if (entry.kind === 'data') this.#components.world.count('level reached');
      this.#applies(entry, undefined);
    }
  }
}

function knownHardState({ hardState }: InitialState): HardState | undefined {
  return hardState.term > 0 ? hardState : undefined;
}

function messagesIn(frame: Uint8Array, from: NodeId, to: NodeId): readonly Message[] {
  const messages = decodeMessages(frame, from, to);
  if (typeof messages === 'string') throw new Error(`a frame of our own: ${messages}`);
  return messages;
}

function traceOf(world: World, id: NodeId) {
  return (event: string, facts: Readonly<Record<string, unknown>>) => {
    world.trace(id, event, describeFacts(facts));
  };
}

/** Logs into the trace. */
export function traceLogger(world: World, id: NodeId): Logger {
  const say = (facts: object, message: string) => {
    world.trace(id, 'log', `${message} ${describeFacts(facts)}`);
  };
  const logger: Logger = { debug: say, info: say, warn: say, error: say, child: () => logger };
  return logger;
}

function describeFacts(facts: object): string {
  return Object.entries(facts)
    .map(([key, value]) => `${key}=${show(value)}`)
    .join(' ');
}

function show(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none');
}

/** `type from->to term=..` and the fields that matter. */
function describeMessage(message: Message): string {
  const { type, from, to, term, ...rest } = message;
  const fields = Object.entries(rest).map(([name, value]) => {
    if (name === 'entries') return `entries=${(value as readonly unknown[]).length}`;
    return `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`;
  });
  return `${type} ${from}->${to} term=${term} ${fields.join(' ')}`;
}
