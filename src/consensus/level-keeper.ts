/**
 * Who understands which levels: every member asks whoever connects, and the leader raises the cluster's level once all
 * members understand a higher one, and have for a while. A member that is away is asked when it is back: until then
 * nothing is raised, because it may come back as another version.
 */

import type { NodeId, RaftStatus } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, messageOf, type SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Mesh } from '../mesh/types.ts';
import { encodeGroupCommand } from './group-command.ts';
import { commonLevel, FIRST_LEVELS, type LevelRange, parseLevels } from './versions.ts';

/** The request that answers what a member understands. */
export const LEVELS_METHOD = 'consensus.levels';

export type LevelOptions = {
  /** What this member understands. Default: what this release does. Tests and simulations run several side by side. */
  readonly understood?: LevelRange;
  /** This version's name in messages. Default: unnamed. */
  readonly product?: string;
  /** How long all members must have understood a level before it is reached. Default 30 s: time to go back after an upgrade. */
  readonly raiseAfterMs?: number;
};

/** What a member understands, and its version's name. */
export type MemberLevels = LevelRange & { readonly product: string };

export type LevelReport = {
  /** The cluster's. */
  readonly level: number;
  /** By member, ourselves included; who has not answered since it connected is not there. */
  readonly members: ReadonlyMap<NodeId, MemberLevels>;
};

export type LevelKeeperComponents = {
  readonly mesh: Mesh;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The cluster's level. */
  readonly level: () => number;
  /** Appends an entry, if we lead. */
  readonly propose: (data: Uint8Array) => void;
  /** Why we must not go on in a cluster at that level, or undefined. */
  readonly fault: (level: number) => SkeinError | undefined;
  readonly onFatal: (error: unknown) => void;
};

const ASK_DEADLINE_MS = 5_000;
/** Time between two looks at it, and before an entry that did not make it is proposed again. */
const ROUND_MS = 500;
const PROPOSE_AGAIN_MS = 5_000;

export class LevelKeeper {
  readonly #components: LevelKeeperComponents;
  readonly #own: MemberLevels;
  readonly #raiseAfterMs: number;
  readonly #known = new Map<NodeId, MemberLevels>();
  readonly #asking = new Set<NodeId>();
  readonly #ending = new AbortController();
  #possible: { readonly level: number; readonly sinceMs: number } | undefined;
  #nextRoundMs = 0;
  #proposedMs = Number.NEGATIVE_INFINITY;

  constructor(components: LevelKeeperComponents, own: MemberLevels, raiseAfterMs: number) {
    this.#components = components;
    this.#own = own;
    this.#raiseAfterMs = raiseAfterMs;
  }

  start(): void {
    const { mesh, level } = this.#components;
    mesh.serve(LEVELS_METHOD, async () => ({ ...this.#own, level: level() }));
    for (const { peer, connected } of mesh.peers()) if (connected) this.connected(peer);
  }

  stop(): void {
    this.#ending.abort();
  }

  connected(peer: NodeId): void {
    void this.#ask(peer);
  }

  /** Who comes back may be another version. */
  disconnected(peer: NodeId): void {
    this.#known.delete(peer);
  }

  report(): LevelReport {
    const { mesh, level } = this.#components;
    return { level: level(), members: new Map([...this.#known, [mesh.self, this.#own]]) };
  }

  /** With every tick. */
  observe(status: RaftStatus): void {
    const { clock, level, logger, propose } = this.#components;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#nextRoundMs) return;
    this.#nextRoundMs = nowMs + ROUND_MS;
    const common = status.role === 'leader' ? this.#common(status) : undefined;
    if (common === undefined || common <= level()) {
      this.#possible = undefined;
      return;
    }
    if (this.#possible?.level !== common) this.#possible = { level: common, sinceMs: nowMs };
    if (nowMs - this.#possible.sinceMs < this.#raiseAfterMs) return;
    if (nowMs - this.#proposedMs < PROPOSE_AGAIN_MS) return;
    this.#proposedMs = nowMs;
    logger.info({ from: level(), to: common }, 'all members understand a higher feature level');
    propose(encodeGroupCommand({ kind: 'level', level: common }));
  }

  #common({ confState }: RaftStatus): number | undefined {
    const { voters, votersOutgoing, learners, learnersNext } = confState;
    const { mesh } = this.#components;
    const others = new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
    others.delete(mesh.self);
    for (const peer of others) if (!this.#known.has(peer)) void this.#ask(peer);
    return commonLevel([this.#own, ...[...others].map((peer) => this.#known.get(peer))]);
  }

  async #ask(peer: NodeId): Promise<void> {
    if (this.#asking.has(peer) || this.#ending.signal.aborted) return;
    const { mesh, logger } = this.#components;
    this.#asking.add(peer);
    try {
      const options = { deadlineMs: ASK_DEADLINE_MS, signal: this.#ending.signal };
      const answer = await mesh.request(peer, LEVELS_METHOD, {}, options);
      const { level, product } = (answer ?? {}) as { level?: unknown; product?: unknown };
      const understood = parseLevels(answer);
      if (understood === undefined) return;
      this.#known.set(peer, { ...understood, product: String(product ?? '') });
      if (Number.isSafeInteger(level)) this.#mustUnderstand(level as number);
    } catch (error) {
      if (hasCode(error, 'remote-failed')) this.#known.set(peer, { ...FIRST_LEVELS, product: '' });
      else logger.debug({ peer, reason: messageOf(error) }, 'a member did not say what it knows');
    } finally {
      this.#asking.delete(peer);
    }
  }

  /** The peer has applied what we have not; but it may be behind as well, and still below what we understand. */
  #mustUnderstand(level: number): void {
    const { fault, onFatal } = this.#components;
    const found = level > this.#own.max ? fault(level) : undefined;
    if (found !== undefined) onFatal(found);
  }
}
