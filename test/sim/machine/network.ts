/**
 * The wires between machines: delay with a floor and a mean, limited rate, loss, replay, reordering, clogged links, and cuts
 * in one or both directions. What belongs to a stream keeps its order and is not lost without a trace; raft's own messages
 * may be treated as badly as datagrams are.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

/** What passes from one machine to another. */
export type Parcel = {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly bytes: number;
  /** True: may be lost, repeated and overtaken without anybody being told. */
  readonly datagram: boolean;
  readonly deliver: () => void;
  /** It was lost on a cut link; whoever sent it hears so, some time later. */
  readonly broken: () => void;
};

type Link = { underWay: number; lastMs: number; freeMs: number; clogged: boolean; held: Parcel[] };

/** A link that is let go delivers what it held at once; nobody waits longer than this for room on one. */
const ROOM_WAIT_MS = 2_000;

export class SimNetwork {
  readonly #world: World;
  readonly #random: Random;
  readonly #options: SwarmOptions['network'];
  readonly #links = new Map<string, Link>();
  #cuts: (from: NodeId, to: NodeId) => boolean = () => false;
  /** Cut off from everybody, whatever else is cut. */
  readonly isolated = new Set<NodeId>();

  constructor(world: World, random: Random, options: SwarmOptions['network']) {
    this.#world = world;
    this.#random = random;
    this.#options = options;
  }

  /** True if nothing passes from one to the other now. */
  isCut(from: NodeId, to: NodeId): boolean {
    return this.isolated.has(from) || this.isolated.has(to) || this.#cuts(from, to);
  }

  /** `node` is no longer isolated. */
  rejoin(node: NodeId): void {
    this.isolated.delete(node);
    for (const link of this.#links.values()) this.#releaseHeld(link);
  }

  /** From now on `cuts` says what does not pass; what was held back and passes again goes on. */
  cut(cuts: (from: NodeId, to: NodeId) => boolean): void {
    this.#cuts = cuts;
    for (const link of this.#links.values()) this.#releaseHeld(link);
  }

  heal(): void {
    this.cut(() => false);
  }

  /** Holds everything back on one link, or lets it go. */
  clog(from: NodeId, to: NodeId, clogged: boolean): void {
    const link = this.#link(from, to);
    link.clogged = clogged;
    if (!clogged) this.#releaseHeld(link);
  }

  /** Ends every trouble among `core`; nobody else is heard any more. */
  calmDown(core: ReadonlySet<NodeId>): void {
    this.isolated.clear();
    this.#cuts = (from, to) => !core.has(from) || !core.has(to);
    for (const link of this.#links.values()) {
      link.clogged = false;
      this.#releaseHeld(link);
    }
  }

  /** Takes a parcel on its way. Returns how long the sender had better wait before the next. */
  send(parcel: Parcel): number {
    const { world, options } = { world: this.#world, options: this.#options };
    const link = this.#link(parcel.from, parcel.to);
    world.count('parcel');
    if (parcel.datagram && !world.calm) {
      if (this.#random.chance(options.loss)) {
        world.count('loss');
        return 0;
      }
      while (this.#random.chance(options.replay)) {
        world.count('replay');
        this.#transmit(link, parcel, exponential(this.#random, 200));
      }
    }
    this.#transmit(link, parcel, 0);
    const full = !world.calm && link.underWay > options.linkCapacity;
    if (!full) return Math.max(0, link.freeMs - world.nowMs);
    world.count('link full');
    return Math.min(ROOM_WAIT_MS, options.delayFloorMs + exponential(this.#random, 50));
  }

  #transmit(link: Link, parcel: Parcel, extraMs: number): void {
    const { delayFloorMs, delayMeanMs, reorder, bytesPerMs } = this.#options;
    const { calm, nowMs } = this.#world;
    const meanMs = calm ? Math.min(2, delayMeanMs) : delayMeanMs;
    link.freeMs = Math.max(nowMs, link.freeMs) + (calm ? 0 : parcel.bytes / bytesPerMs);
    let atMs = link.freeMs + delayFloorMs + exponential(this.#random, meanMs) + extraMs;
    if (parcel.datagram && this.#random.chance(reorder)) {
      if (atMs < link.lastMs) this.#world.count('reorder');
    } else {
      atMs = Math.max(atMs, link.lastMs);
    }
    if (extraMs === 0) link.lastMs = Math.max(link.lastMs, atMs);
    link.underWay++;
    this.#world.after(atMs - nowMs, () => {
      link.underWay--;
      this.#arrive(link, parcel);
    });
  }

  #arrive(link: Link, parcel: Parcel): void {
    if (link.clogged) {
      this.#world.count('clogged parcel');
      link.held.push(parcel);
      return;
    }
    if (!this.isCut(parcel.from, parcel.to)) {
      parcel.deliver();
      return;
    }
    this.#world.count('cut parcel');
    if (!this.#world.calm && this.#random.chance(this.#options.heldByCut)) link.held.push(parcel);
    else this.#world.after(exponential(this.#random, 100), parcel.broken);
  }

  #releaseHeld(link: Link): void {
    const held = link.held;
    link.held = [];
    for (const parcel of held) this.#transmit(link, parcel, 0);
  }

  #link(from: NodeId, to: NodeId): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { underWay: 0, lastMs: 0, freeMs: 0, clogged: false, held: [] };
      this.#links.set(name, link);
    }
    return link;
  }
}
