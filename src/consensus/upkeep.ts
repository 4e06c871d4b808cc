/**
 * What a member looks after beside its work, with every tick: how long it waits for a silent leader, whether it is fit
 * to lead, and, while it leads, who votes.
 */

import type { RaftNode } from '../../raft/raw-node.ts';
import type { Message, NodeId } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { Autopilot } from './autopilot.ts';
import type { Timing } from './consensus-options.ts';
import { successors } from './control.ts';
import type { Engine } from './engine.ts';
import type { MembershipOptions } from './membership.ts';
import { Pace } from './pace.ts';
import { type Stall, StallWatch } from './stall-watch.ts';

export type UpkeepComponents = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly engine: Pick<Engine, 'writeAgeMs' | 'applied'>;
  /** Lets something talk to the core, unless the member has ended. */
  readonly use: (action: (core: RaftNode) => void) => void;
  /** The context of changes of membership. */
  readonly changeContext: () => Uint8Array;
};

/** Time between two looks at the membership, and between two attempts to hand over. */
const ROUND_MS = 500;

/** The upkeep of one member. */
export class Upkeep {
  readonly #components: UpkeepComponents;
  readonly #pace: Pace;
  readonly #stalls: StallWatch;
  readonly #autopilot: Autopilot;
  #electionTicks: number | undefined;
  #stalled = false;
  #handOvers = 0;
  #nextRoundMs = 0;

  constructor(components: UpkeepComponents, timing: Timing, membership?: MembershipOptions) {
    const { clock, logger } = components;
    this.#components = components;
    const { tickMs, heartbeatTicks, electionTicks, diskStallMs, applyStallMs } = timing;
    const heartbeatMs = heartbeatTicks * tickMs;
    this.#pace = new Pace({ tickMs, heartbeatMs, electionTicks }, clock.monotonicMs());
    this.#stalls = new StallWatch({ diskMs: diskStallMs, applyMs: applyStallMs });
    this.#autopilot = new Autopilot(clock, logger, membership);
  }

  /** How late messages, timers and writes are. */
  get pace(): Pace {
    return this.#pace;
  }

  /** A message came. */
  received(message: Message): void {
    this.#pace.received(message, this.#components.clock.monotonicMs());
  }

  /** A message leaves. */
  sent(message: Message): void {
    this.#pace.sent(message, this.#components.clock.monotonicMs());
  }

  /** This node leads from now on. */
  ascended(): void {
    this.#autopilot.reset();
    this.#handOvers = 0;
  }

  /** Once per tick, before the core's. */
  tick(): void {
    this.#components.use((core) => {
      const nowMs = this.#components.clock.monotonicMs();
      this.#keepPace(core, nowMs);
      const stall = this.#watchStalls(core, nowMs);
      if (nowMs < this.#nextRoundMs || core.status().role !== 'leader') return;
      this.#nextRoundMs = nowMs + ROUND_MS;
      if (stall === undefined) this.#lookAfterVoters(core);
      else this.#handOver(core, stall);
    });
  }

  #keepPace(core: RaftNode, nowMs: number): void {
    this.#pace.wrote(this.#components.engine.writeAgeMs);
    const ticks = this.#pace.ticks(nowMs);
    if (ticks === this.#electionTicks) return;
    this.#components.logger.debug({ ticks }, 'a silent leader is waited for this long');
    this.#electionTicks = ticks;
    core.adaptElectionTicks(ticks);
  }

  /** A member that gets nothing done must not be elected; one that leads heartbeats well and commits nothing. */
  #watchStalls(core: RaftNode, nowMs: number): Stall | undefined {
    const { engine, logger } = this.#components;
    const { writeAgeMs, applied } = engine;
    const stall = this.#stalls.observe({
      nowMs,
      writeAgeMs,
      applied,
      commit: core.status().commit,
    });
    if ((stall !== undefined) === this.#stalled) return stall;
    this.#stalled = stall !== undefined;
    core.holdBack(stall && OBSTACLES[stall.of]);
    if (stall === undefined) logger.info({ applied }, 'writes and the state machine go on');
    else logger.error(stall, OBSTACLES[stall.of]);
    return stall;
  }

  /** Whoever did not take over the last time may have the same trouble: each attempt goes to the next. */
  #handOver(core: RaftNode, stall: Stall): void {
    const status = core.status();
    if (status.transferTarget !== undefined) return;
    const able = successors(status);
    const target: NodeId | undefined = able[this.#handOvers++ % Math.max(1, able.length)];
    this.#components.logger.error({ ...stall, target }, 'handing leadership over');
    if (target !== undefined) core.transferLeadership(target);
  }

  #lookAfterVoters(core: RaftNode): void {
    const steps = this.#autopilot.observe(core.status());
    if (steps.length === 0) return;
    core.proposeConfChange({ steps, context: this.#components.changeContext() });
  }
}

const OBSTACLES: Readonly<Record<Stall['of'], string>> = {
  disk: 'the disk does not answer',
  apply: 'the state machine does not take what is committed',
};
