/**
 * One member of the group, put together: core, storage, transport and the services on top. Everything that touches the
 * core goes through the engine; everything here runs in one thread and never waits on the loop's path.
 */

import { rememberingContext } from '../../raft/config-change.ts';
import type { RaftNode } from '../../raft/raw-node.ts';
import { createRaftNode } from '../../raft/raw-node.ts';
import type {
  Entry,
  InitialState,
  LogIndex,
  Message,
  NodeId,
  RaftStatus,
  SnapshotMeta,
  Term,
} from '../../raft/types.ts';
import { abortError } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import type { Mesh, PeerEvent } from '../mesh/types.ts';
import { ConsensusMetrics } from './consensus-metrics.ts';
import { type ConsensusOptions, timingOf } from './consensus-options.ts';
import { CONTROL_METHOD, Control } from './control.ts';
import { Engine } from './engine.ts';
import { Forwarder, PROPOSE_METHOD, serveProposals } from './forwarding.ts';
import { Leadership } from './leadership.ts';
import { LeaseClock } from './lease-clock.ts';
import { LevelKeeper, type LevelReport } from './level-keeper.ts';
import { lostData } from './lost-data.ts';
import { atLevel, recoverState } from './open-state.ts';
import { ProposalRouter } from './proposal-router.ts';
import { type LocalOutcome, Proposals } from './proposals.ts';
import { ReadBarrier } from './read-barrier.ts';
import type { SnapshotVerdict } from './snapshot-transfer.ts';
import { SnapshotTransfer } from './snapshot-transfer.ts';
import { leastFollowed, Snapshotter } from './snapshotter.ts';
import type { OldestStored, Storage } from './storage.ts';
import { Succession } from './succession.ts';
import { Ticker } from './ticker.ts';
import { Transport } from './transport.ts';
import type {
  Consensus,
  ConsensusStatus,
  LeadershipEvent,
  ProposeOptions,
  ProposeResult,
  StateMachine,
} from './types.ts';
import { Upkeep } from './upkeep.ts';
import { VersionedMachine } from './versioned-machine.ts';
import { FIRST_LEVELS, OUR_LEVELS, REMEMBERING_LEVEL } from './versions.ts';

export type ConsensusComponents = {
  readonly mesh: Mesh;
  /** Not opened yet; closed by `stop`. */
  readonly storage: Storage;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics?: Registry;
  /** Makes the core. Default: raft's own; a simulation puts an observer around it. */
  readonly createCore?: typeof createRaftNode;
};

/** The request method that answers a member's status. */
export const STATUS_METHOD = 'consensus.status';

const READ_DEADLINE_MS = 5_000;
const RAISE_AFTER_MS = 30_000;

/**
 * Opens the storage, restores the state machine, and takes part in the group. Rejects with data-damaged if the storage
 * cannot be trusted.
 */
export async function createConsensus(
  components: ConsensusComponents,
  options: ConsensusOptions = {},
): Promise<Consensus> {
  const { storage, stateMachine, mesh, random, createCore = createRaftNode } = components;
  const { tickMs, heartbeatTicks, electionTicks, promiseMs } = timingOf(options);
  const { understood = OUR_LEVELS, product = 'unnamed' } = options.levels ?? {};
  const machine = new VersionedMachine(stateMachine, {
    levels: understood,
    product,
    onLevel: (level) => components.logger.info({ level }, 'the cluster is at this feature level'),
  });
  const initial = await recoverState(storage, machine, {
    self: mesh.self,
    bootstrap: options.bootstrap ?? false,
    level: understood.max,
  });
  const raft = createCore(
    {
      id: mesh.self,
      electionTicks,
      heartbeatTicks,
      ...(promiseMs === undefined ? {} : { lease: { promiseMs, tickMs } }),
      random: () => random.float(),
    },
    initial,
  );
  const member = new Member({ ...components, stateMachine: machine }, options, raft, initial);
  member.start();
  return member;
}

type MemberComponents = ConsensusComponents & { readonly stateMachine: VersionedMachine };

class Member implements Consensus {
  readonly nodeId: NodeId;
  readonly #components: MemberComponents;
  readonly #options: ConsensusOptions;
  readonly #raft: RaftNode;
  readonly #engine: Engine;
  readonly #transport: Transport;
  readonly #transfer: SnapshotTransfer;
  readonly #snapshotter: Snapshotter;
  readonly #proposals: Proposals;
  readonly #forwarder: Forwarder;
  readonly #router: ProposalRouter;
  readonly #succession: Succession;
  readonly #barrier: ReadBarrier;
  readonly #leadership: Leadership;
  readonly #upkeep: Upkeep;
  readonly #levels: LevelKeeper;
  readonly #control: Control;
  readonly #ticker: Ticker;
  readonly #metrics: ConsensusMetrics;
  #status: RaftStatus;
  #stopped = false;
  #forgetPeers: () => void = () => {};

  constructor(
    components: MemberComponents,
    options: ConsensusOptions,
    raft: RaftNode,
    initial: InitialState,
  ) {
    const snapshotIndex = initial.snapshot.index;
    const { mesh, clock, storage, stateMachine, logger } = components;
    this.nodeId = mesh.self;
    this.#components = components;
    this.#options = options;
    this.#raft = raft;
    this.#status = raft.status();
    this.#metrics = new ConsensusMetrics(components.metrics);
    this.#leadership = new Leadership(logger);
    const timing = timingOf(options);
    const { tickMs } = timing;
    const leaseClock = timing.promiseMs === undefined ? undefined : new LeaseClock(clock);
    const parts = {
      ...{ raft, storage, machine: stateMachine, clock },
      ...(leaseClock === undefined ? {} : { leaseNowMs: () => leaseClock.nowMs() }),
    };
    this.#engine = new Engine(parts, snapshotIndex, {
      send: (message) => this.#send(message),
      onApplied: (entry, result) => this.#onApplied(entry, result),
      onProgress: (index, term) => this.#onProgress(index, term),
      onInstalled: (index) => this.#snapshotter.installed(index),
      onRead: (state) => this.#barrier.confirmed(state),
      onStatus: (status) => this.#onStatus(status),
      onFatal: (error) => this.#onFatal(error),
    });
    this.#transport = new Transport(
      components,
      {
        onMessage: (message) => this.#step(message),
        onUnreachable: (peer) => this.#whileRunning((core) => core.reportUnreachable(peer)),
      },
      options.transport,
    );
    this.#transfer = new SnapshotTransfer(
      components,
      {
        onSent: (node, ok) => this.#whileRunning((core) => core.reportSnapshot(node, ok)),
        onReceived: (message) => this.#step(message),
        verdict: (meta) => this.#judgeSnapshot(meta),
        progressOf: (node) => raft.status().progress.find((one) => one.node === node),
        lastIndex: () => raft.status().lastIndex,
      },
      options.snapshotTransfer,
    );
    this.#snapshotter = new Snapshotter(
      {
        storage,
        machine: stateMachine,
        clock,
        logger,
        followed: () => leastFollowed(raft.status()),
        applied: () => (this.#engine.installing ? undefined : this.#engine.applied),
        metaAt: (index) => atLevel(raft.snapshotMeta(index), stateMachine.level),
        retain: () => this.#transfer.oldestWanted,
        compact: (meta, keepFrom) => this.#whileRunning((core) => core.compact(meta, keepFrom)),
        onFatal: (error) => this.#onFatal(error),
      },
      snapshotIndex,
      options.snapshots,
    );
    this.#snapshotter.begin(initial.retained?.entries ?? []);
    const append = (data: readonly Uint8Array[]) => this.#append(data);
    this.#proposals = new Proposals(append, clock, options.proposals);
    this.#forwarder = new Forwarder(mesh, clock);
    this.#router = new ProposalRouter({
      self: mesh.self,
      clock,
      leadership: this.#leadership,
      proposals: this.#proposals,
      forwarder: this.#forwarder,
    });
    this.#succession = new Succession({
      clock,
      random: components.random,
      vacant: () =>
        this.#status.leader === undefined && this.#status.confState.voters.includes(this.nodeId),
      campaign: () => this.#whileRunning((core) => core.campaign()),
      promisedMs: timing.promisedMs,
    });
    this.#barrier = new ReadBarrier({
      clock,
      random: components.random,
      request: (id) => this.#engine.running && this.#engine.use((core) => core.readIndex(id)),
      applied: () => this.#engine.applied,
    });
    const changeContext = () =>
      stateMachine.level >= REMEMBERING_LEVEL ? rememberingContext : new Uint8Array(0);
    this.#control = new Control({
      mesh,
      clock,
      engine: this.#engine,
      leadership: this.#leadership,
      status: () => raft.status(),
      changeContext,
    });
    this.#ticker = new Ticker(
      clock,
      () => this.#tick(),
      () => this.#status.role !== 'leader',
      {
        tickMs,
        onLate: (lateMs) => this.#upkeep.pace.late(lateMs),
        onStall: (lateMs) => logger.warn({ lateMs: Math.round(lateMs) }, 'the event loop stalled'),
      },
    );
    this.#upkeep = new Upkeep(
      {
        ...{ clock, logger, engine: this.#engine, changeContext },
        use: (action) => this.#whileRunning(action),
      },
      timing,
      options.membership,
    );
    const { understood = OUR_LEVELS, product = 'unnamed', raiseAfterMs } = options.levels ?? {};
    this.#levels = new LevelKeeper(
      {
        ...{ mesh, clock, logger },
        level: () => stateMachine.level,
        propose: (data) => void this.#append([data]),
        fault: (level) => stateMachine.fault(level),
        onFatal: (error) => this.#onFatal(error),
      },
      { ...understood, product },
      raiseAfterMs ?? RAISE_AFTER_MS,
    );
  }

  start(): void {
    const { mesh } = this.#components;
    mesh.serve(PROPOSE_METHOD, (body, from) => this.#serveProposals(body, from));
    mesh.serve(CONTROL_METHOD, (body) => this.#control.serve(body));
    mesh.serve(STATUS_METHOD, () => Promise.resolve(this.status()));
    this.#forgetPeers = mesh.onPeer((event) => this.#onPeer(event));
    this.#levels.start();
    this.#ticker.start();
    this.#engine.wake();
    const { voters } = this.#status.confState;
    // A group of one has nobody to wait for.
    if (voters.length === 1 && voters[0] === this.nodeId) {
      this.#engine.use((core) => core.campaign());
    }
  }

  propose(data: Uint8Array, options: ProposeOptions = {}): Promise<ProposeResult> {
    return this.#router.propose(data, options);
  }

  async readBarrier(options: { deadlineMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const { deadlineMs = READ_DEADLINE_MS, signal } = options;
    if (signal?.aborted) throw abortError(signal);
    if (this.#stopped) throw new SkeinError('aborted', 'the node is stopping');
    const waiting = this.#barrier.wait(deadlineMs);
    if (signal === undefined) return waiting;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(abortError(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      const done = () => signal.removeEventListener('abort', onAbort);
      waiting.then(resolve, reject).finally(done);
    });
  }

  status(): ConsensusStatus {
    const { id, role, term, leader, commit, applied, confState, progress } = this.#raft.status();
    return { nodeId: id, role, term, leader, commit, applied, confState, progress };
  }

  onLeadership(listener: (event: LeadershipEvent) => void): () => void {
    return this.#leadership.subscribe(listener);
  }

  transferLeadership(target?: NodeId): Promise<void> {
    return this.#control.give({ order: 'transfer', node: target });
  }

  addMember(node: NodeId): Promise<void> {
    return this.#control.give({ order: 'add', node });
  }

  removeMember(node: NodeId): Promise<void> {
    return this.#control.give({ order: 'remove', node });
  }

  levels(): LevelReport {
    return this.#levels.report();
  }

  oldestStored(): Promise<OldestStored> {
    return this.#components.storage.oldest();
  }

  async discardOld(upTo: LogIndex): Promise<void> {
    if (!this.#stopped && this.#engine.running) await this.#snapshotter.discard(upTo);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#shut();
    await this.#snapshotter.stop();
    try {
      await this.#engine.end();
    } finally {
      await this.#components.storage.close();
    }
  }

  /** Everything that can end at once. */
  #shut(): void {
    this.#stopped = true;
    this.#ticker.stop();
    this.#succession.stop();
    this.#router.stop();
    this.#forgetPeers();
    this.#levels.stop();
    this.#transport.stop();
    this.#transfer.stop();
    this.#proposals.stop();
    this.#forwarder.stop();
    this.#barrier.stop();
    this.#control.stop();
    this.#leadership.stop();
  }

  #step(message: Message): void {
    this.#whileRunning((core) => {
      if (message.type === 'heartbeat') {
        // The core would stop as well, without a word on what to do.
        const lost = lostData(message.from, message.commit, core.status().lastIndex);
        if (lost !== undefined) throw lost;
      }
      this.#upkeep.received(message);
      core.step(message);
    });
  }

  /** What comes from outside may come after the end. What the core throws is an invariant's failure. */
  #whileRunning(action: (core: RaftNode) => void): void {
    if (!this.#engine.running || this.#stopped) return;
    try {
      this.#engine.use(action);
    } catch (error) {
      this.#onFatal(error);
    }
  }

  #send(message: Message): void {
    this.#upkeep.sent(message);
    if (message.type === 'snapshot') this.#transfer.send(message);
    else this.#transport.send(message);
  }

  #judgeSnapshot(meta: SnapshotMeta): SnapshotVerdict {
    if (!this.#engine.running || this.#engine.installing) return 'busy';
    const fault = this.#components.stateMachine.fault(meta.level ?? FIRST_LEVELS.min);
    if (fault !== undefined) {
      this.#onFatal(fault);
      return 'busy';
    }
    return meta.index > this.#engine.applied ? 'wanted' : 'known';
  }

  #append(data: readonly Uint8Array[]): ReturnType<RaftNode['propose']> {
    if (!this.#engine.running) return { kind: 'dropped', reason: 'the node is stopping' };
    this.#metrics.proposed(data.length);
    return this.#engine.use((core) => core.propose(data));
  }

  #onApplied(entry: Entry, result: unknown): void {
    if (entry.kind === 'data') this.#proposals.applied(entry, result);
    else this.#proposals.applied(entry, undefined);
    this.#leadership.applied(entry);
    if (entry.kind === 'config') this.#onMembers();
    this.#snapshotter.count(entry.index, entry.data.length);
  }

  #onProgress(index: LogIndex, term: Term): void {
    this.#control.applied(index, term);
    this.#barrier.applied();
    // The core's log is the one behind the leader's snapshot already.
    if (!this.#engine.installing) this.#snapshotter.consider(index);
  }

  #onMembers(): void {
    const { voters, votersOutgoing, learners, learnersNext } = this.#raft.status().confState;
    this.#components.logger.info({ voters, votersOutgoing, learners }, 'the membership changed');
    this.#transport.keepOnly(new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]));
  }

  #onStatus(status: RaftStatus): void {
    const was = this.#status;
    this.#status = status;
    if (was.role !== 'leader' && status.role === 'leader') this.#upkeep.ascended();
    const changed = this.#leadership.observe(status);
    if (changed.lost) {
      this.#proposals.leadershipLost();
      this.#control.leadershipLost();
    }
    if (changed.leader) {
      this.#forwarder.follow(status.leader === this.nodeId ? undefined : status.leader);
      this.#barrier.leaderChanged();
    }
    this.#metrics.observe(status, this.#proposals.pending);
  }

  #tick(): void {
    this.#upkeep.tick();
    this.#whileRunning((core) => core.tick());
    this.#levels.observe(this.#status);
    this.#proposals.sweep();
    this.#barrier.sweep();
  }

  #onPeer(event: PeerEvent): void {
    if (event.kind === 'connected') this.#levels.connected(event.peer);
    else {
      this.#levels.disconnected(event.peer);
      this.#upkeep.pace.forget(event.peer);
    }
    if (event.kind === 'connected') this.#transport.connected(event.peer);
    else if (event.peer === this.#leadership.leader) {
      this.#components.logger.warn({ leader: event.peer }, 'the connection to the leader is lost');
      this.#whileRunning((core) => core.forgetLeader());
      this.#succession.begin();
    }
  }

  async #serveProposals(body: unknown, from: NodeId): Promise<readonly LocalOutcome[]> {
    if (this.#status.role !== 'leader') {
      throw new SkeinError('not-leader', 'this node does not lead', { retryable: true });
    }
    const outcomes = await serveProposals(body, this.#proposals);
    // Whoever wrote there reads there what was written: the commit index goes with the answer.
    this.#transport.hurry(from);
    if (outcomes === undefined) throw new SkeinError('config-invalid', 'malformed proposals');
    return outcomes;
  }

  #onFatal(error: unknown): void {
    if (this.#stopped) return;
    this.#components.logger.error({ error }, 'this member cannot go on');
    this.#shut();
    void this.#engine.end().catch(() => {});
    const onFatal =
      this.#options.onFatal ??
      ((cause) => {
        setImmediate(() => {
          throw cause;
        });
      });
    onFatal(error);
  }
}
