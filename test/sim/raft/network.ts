/**
 * The network between members: delay with a floor and a mean, loss, replay, reordering, links of
 * limited capacity, clogged links, and cuts in one or both directions.
 */

import type { Message, NodeId } from '../../../raft/types.ts';
import { decodeMessages, encodeMessages } from '../../../src/consensus/message-codec.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';
import { CheckFailure } from './world.ts';

/** What passes from one member to another: a message, or something larger such as a snapshot. */
type Parcel = { readonly from: NodeId; readonly to: NodeId; readonly deliver: () => void };

type Link = { underWay: number; lastMs: number; clogged: boolean; held: Parcel[] };

/** Told where a message came or went. */
export type NetworkEvents = {
  deliver(message: Message): void;
  /** The sender's transport noticed that `to` is out of reach. */
  unreachable(from: NodeId, to: NodeId): void;
};

export class SimNetwork {
  readonly #world: World;
  readonly #random: Random;
  readonly #options: SwarmOptions['network'];
  readonly #events: NetworkEvents;
  readonly #links = new Map<string, Link>();
  #cuts: (from: NodeId, to: NodeId) => boolean = () => false;
  /** Cut off from everybody, whatever else is cut. */
  readonly isolated = new Set<NodeId>();

  constructor(
    world: World,
    random: Random,
    options: SwarmOptions['network'],
    events: NetworkEvents,
  ) {
    this.#world = world;
    this.#random = random;
    this.#options = options;
    this.#events = events;
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

  send(message: Message): void {
    const { loss, replay, wireFormat, linkCapacity } = this.#options;
    const { from, to } = message;
    this.#world.count('message');
    const link = this.#link(from, to);
    if (!this.#world.calm && link.underWay >= linkCapacity) {
      this.#world.count('link full');
      return;
    }
    if (!this.#world.calm && this.#random.chance(loss)) {
      this.#world.count('loss');
      return;
    }
    const frame = wireFormat ? encodeMessages([message]) : undefined;
    const deliver = () => {
      this.#events.deliver(frame === undefined ? message : decoded(frame, message));
    };
    this.transport({ from, to, deliver });
    while (!this.#world.calm && this.#random.chance(replay)) {
      this.#world.count('replay');
      this.transport({ from, to, deliver }, exponential(this.#random, 200));
    }
  }

  /** Brings a parcel to its receiver, if the link allows; `extraMs` on top of the usual delay. */
  transport(parcel: Parcel, extraMs = 0): void {
    const { delayFloorMs, reorder } = this.#options;
    const usualMs = this.#options.delayMeanMs;
    const delayMeanMs = this.#world.calm ? Math.min(2, usualMs) : usualMs;
    const link = this.#link(parcel.from, parcel.to);
    const delayMs = delayFloorMs + exponential(this.#random, delayMeanMs) + extraMs;
    let atMs = this.#world.nowMs + delayMs;
    if (this.#random.chance(reorder)) {
      if (atMs < link.lastMs) this.#world.count('reorder');
    } else {
      atMs = Math.max(atMs, link.lastMs);
    }
    if (extraMs === 0) link.lastMs = Math.max(link.lastMs, atMs);
    link.underWay++;
    this.#world.after(atMs - this.#world.nowMs, () => {
      link.underWay--;
      this.#arrive(link, parcel);
    });
  }

  #arrive(link: Link, parcel: Parcel): void {
    const { from, to } = parcel;
    if (link.clogged) {
      this.#world.count('clogged message');
      link.held.push(parcel);
      return;
    }
    if (!this.isCut(from, to)) {
      parcel.deliver();
      return;
    }
    this.#world.count('cut message');
    if (!this.#world.calm && this.#random.chance(this.#options.heldByCut)) link.held.push(parcel);
    else if (this.#random.chance(0.2)) {
      this.#world.after(1, () => this.#events.unreachable(from, to));
    }
  }

  #releaseHeld(link: Link): void {
    const held = link.held;
    link.held = [];
    for (const parcel of held) this.transport(parcel);
  }

  #link(from: NodeId, to: NodeId): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { underWay: 0, lastMs: 0, clogged: false, held: [] };
      this.#links.set(name, link);
    }
    return link;
  }
}

function decoded(frame: Uint8Array, sent: Message): Message {
  const messages = decodeMessages(frame, sent.from, sent.to);
  const [message] = messages;
  if (typeof messages === 'string' || message === undefined || typeof message === 'string') {
    throw new CheckFailure('wire format', 'what is encoded can be decoded', {
      type: sent.type,
      reason: String(messages),
    });
  }
  return message;
}
