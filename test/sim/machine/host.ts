/**
 * A machine: a disk that lasts, and at most one process at a time that can crash, stall and come back. A process that ends
 * by itself is started again, as a supervisor would.
 */

import type { RaftNode } from '../../../raft/raw-node.ts';
import type { NodeId } from '../../../raft/types.ts';
import { type LevelRange, OUR_LEVELS } from '../../../src/consensus/versions.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Checkers } from '../checkers/checkers.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';
import type { Connections } from './connections.ts';
import { SimDisk } from './disk.ts';
import type { SimNetwork } from './network.ts';
import { Process, type Services } from './process.ts';

export type HostComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly connections: Connections;
  readonly checkers: Checkers;
  readonly options: SwarmOptions;
  /** A process of this machine has started. */
  readonly started: (host: Host, process: Process) => void;
  /** The machine lost its power. Default: nobody has to know. */
  readonly powerFailed?: () => void;
};

type Release = 'old' | 'new';

/** The levels that two releases understand; see src/consensus/versions.ts. */
const RELEASES: Readonly<Record<Release, LevelRange>> = {
  old: { min: OUR_LEVELS.min, max: OUR_LEVELS.max - 1 },
  new: OUR_LEVELS,
};
/** A supervisor starts a process that ended after about so long. */
const RESTART_MS = 100;

export class Host {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly #components: HostComponents;
  readonly #rate: number;
  #process: Process | undefined;
  #incarnation = 0;
  #release: Release;
  #wallErrorMs = 0;
  /** Failed for good, as far as this run is concerned. */
  frozen = false;
  /** Its disk is gone: it must never come back under this name. */
  lost = false;

  constructor(id: NodeId, components: HostComponents) {
    const { world, random, options } = components;
    this.id = id;
    this.#components = components;
    this.disk = new SimDisk(world, random.fork(), id, options.disk);
    this.#rate = 1 + (random.float() * 2 - 1) * options.drift;
    this.#release = random.chance(options.releases.olds) ? 'old' : 'new';
  }

  /** The present process, once its core runs. */
  get process(): Process | undefined {
    return this.#process?.running === true ? this.#process : undefined;
  }

  /** What clients talk to. */
  get services(): Services | undefined {
    return this.#process?.services;
  }

  get up(): boolean {
    return this.process !== undefined && !this.paused;
  }

  get paused(): boolean {
    return this.#process?.paused === true;
  }

  /** Begins a new process from what the disk has. */
  start(options: { readonly moved?: boolean } = {}): void {
    if (this.#process !== undefined || this.frozen || this.lost) return;
    const { world, random, network, connections, checkers, options: swarm } = this.#components;
    this.#maybeChangeRelease();
    world.trace(this.id, 'start', `incarnation=${this.#incarnation} release=${this.#release}`);
    const process = new Process(this.id, this.#incarnation++, {
      ...{ world, random, network, connections, checkers, options: swarm, disk: this.disk },
      clock: { rate: this.#rate, wallErrorMs: () => this.#wallErrorMs },
      levels: { understood: RELEASES[this.#release], product: this.#release },
      ends: (ended, error) => this.#ended(ended, error),
      ready: (started) => this.#components.started(this, started),
    });
    this.#process = process;
    connections.add(process.mesh, options.moved === true);
  }

  /** Loses everything but what the disk made durable. */
  crash({ power = false }: { readonly power?: boolean } = {}): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#components.world.trace(this.id, 'crash', power ? 'power' : '');
    this.#process = undefined;
    process.end();
    this.#components.connections.remove(process.mesh, power);
    this.disk.crash({ power });
    if (power) this.#components.powerFailed?.();
  }

  /** Asks the process to end in good order; whoever does not manage in time is killed. */
  stop(): void {
    const process = this.#process;
    const consensus = this.services?.consensus;
    if (process === undefined || consensus === undefined) {
      this.crash();
      return;
    }
    const { world } = this.#components;
    world.trace(this.id, 'stop', '');
    const end = () => {
      if (process === this.#process) this.crash();
    };
    process.turn(() => void consensus.stop().then(end, end));
    world.after(1_000, end);
  }

  /** The disk is gone, and with it this member. */
  lose(): void {
    this.crash({ power: true });
    this.disk.wipe();
    this.lost = true;
    this.#components.world.trace(this.id, 'lost', 'the disk is gone');
  }

  /** Stands still; what arrives meanwhile waits. */
  pause(): void {
    if (this.#process === undefined || this.paused) return;
    this.#components.world.trace(this.id, 'pause', '');
    this.#process.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.#components.world.trace(this.id, 'resume', '');
    this.#process?.resume();
  }

  slowDown(turnMs: number): void {
    this.#process?.slowDown(turnMs);
  }

  /** The wall clock is wrong by `errorMs` from now on. */
  setWallError(errorMs: number): void {
    this.#wallErrorMs = errorMs;
  }

  /** Does something to the core in a turn of its own, with the next tick. */
  deed(action: (core: RaftNode) => void): void {
    this.process?.deeds.push(action);
  }

  /** What was to be done to the core is not done any more. */
  forgetDeeds(): void {
    this.process?.deeds.splice(0);
  }

  /** An upgrade, or the way back; nobody goes back in the liveness phase. */
  #maybeChangeRelease(): void {
    const { world, random, options } = this.#components;
    const { olds, changeOdds } = options.releases;
    if (world.calm || olds === 0 || this.#incarnation === 0 || !random.chance(changeOdds)) return;
    this.#release = this.#release === 'old' ? 'new' : 'old';
    world.count(this.#release === 'new' ? 'upgrade' : 'rollback');
  }

  #ended(process: Process, error: unknown): void {
    const { world, random, checkers } = this.#components;
    const { SkeinError } = world.product;
    const code = error instanceof SkeinError ? error.code : undefined;
    const text = error instanceof Error ? error.message : String(error);
    world.trace(this.id, 'ends', text);
    if (code === 'data-damaged') {
      const facts = { member: this.id, error: text };
      checkers.fail('durability', 'nothing is damaged that was not damaged on purpose', facts);
    }
    // Anything but a disk that failed is a law of the product's own that did not hold.
    if (code === 'version-unsupported') {
      // The cluster has gone on meanwhile; there is no way back.
      world.count('release refused');
      this.#release = 'new';
    }
    const harmless =
      code === 'version-unsupported' ||
      code === 'disk-failed' ||
      code === 'aborted' ||
      isOfTheKernel(error);
    if (!harmless) world.fail(error);
    world.count('process ended by itself');
    world.after(0, () => {
      if (process !== this.#process) return;
      this.crash();
      world.after(exponential(random, RESTART_MS), () => this.start());
    });
  }
}

/** A disk that refuses while a process starts is not wrapped into words yet. */
function isOfTheKernel(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code === 'ENOSPC' || code === 'EIO';
}
