/**
 * A member of the simulated group: a disk that lasts, and at most one incarnation at a time that can
 * crash, stall and come back. Snapshots travel between hosts beside the messages.
 */

import type { Message, NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Checkers } from './checkers/checkers.ts';
import { SimDisk, type StoredSnapshot } from './disk.ts';
import type { SimNetwork } from './network.ts';
import { Process } from './process.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';

export type HostComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly checkers: Checkers;
  readonly options: SwarmOptions;
  readonly hosts: ReadonlyMap<NodeId, Host>;
};

type SnapshotMessage = Extract<Message, { readonly type: 'snapshot' }>;

/** Most snapshots sent at once, and how long one may take. */
const SENDS_MAX = 2;
const SEND_DEADLINE_MS = 2_000;

export class Host {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly #components: HostComponents;
  readonly #tickMs: number;
  #process: Process | undefined;
  #incarnation = 0;
  #paused = false;
  #inbox: (() => void)[] = [];
  #tickMissed = false;
  readonly #sending = new Map<NodeId, number>();
  #receiving = false;
  /** Failed for good, as far as this run is concerned. */
  frozen = false;

  constructor(id: NodeId, components: HostComponents) {
    const { world, random, options } = components;
    this.id = id;
    this.#components = components;
    this.disk = new SimDisk(world, random.fork(), id, options.disk);
    this.#tickMs = options.tickMs * (1 + (random.float() * 2 - 1) * options.drift);
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get up(): boolean {
    return this.#process !== undefined && !this.#paused;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Begins a new incarnation from what the disk has. */
  start(): void {
    if (this.#process !== undefined || this.frozen) return;
    const { world, random, checkers, options } = this.#components;
    world.trace(this.id, 'start', `incarnation=${this.#incarnation}`);
    const incarnation = this.#incarnation++;
    const process: Process = new Process(this.id, incarnation, {
      world,
      random,
      checkers,
      options,
      disk: this.disk,
      turn: (action) => this.#turnOf(process, action),
      send: (message) => this.#send(message),
      retain: () => Math.min(Number.POSITIVE_INFINITY, ...this.#sending.values()),
    });
    this.#process = process;
    this.#scheduleTick(process, random.float() * this.#tickMs);
    this.turn(() => {});
  }

  /** Loses everything but what the disk made durable. */
  crash(): void {
    if (this.#process === undefined) return;
    const { world } = this.#components;
    world.trace(this.id, 'crash', '');
    this.#process = undefined;
    this.#paused = false;
    this.#inbox = [];
    this.#sending.clear();
    this.#receiving = false;
    this.disk.crash();
  }

  /** Stands still; what arrives meanwhile waits. */
  pause(): void {
    if (this.#process === undefined || this.#paused) return;
    this.#components.world.trace(this.id, 'pause', '');
    this.#paused = true;
    this.#tickMissed = false;
  }

  resume(): void {
    if (!this.#paused) return;
    const { world, random } = this.#components;
    world.trace(this.id, 'resume', `waiting=${this.#inbox.length}`);
    this.#paused = false;
    const inbox = this.#inbox;
    this.#inbox = [];
    // However long it stood still, its timer fires once: before or after what the network brought.
    const tick = () => this.turn((process) => process.raft.tick());
    const first = this.#tickMissed && random.chance(0.5);
    if (first) tick();
    for (const action of inbox) action();
    if (this.#tickMissed && !first) tick();
  }

  /** Runs `action` on the process in a turn of its own: now, after the stall, or never. */
  turn(action: (process: Process) => void): void {
    const process = this.#process;
    if (process !== undefined) this.#turnOf(process, () => action(process));
  }

  deliver(message: Message): void {
    this.turn((process) => process.raft.step(message));
  }

  #turnOf(process: Process, action: () => void): void {
    if (process !== this.#process) return;
    if (this.#paused) {
      this.#inbox.push(() => this.#turnOf(process, action));
      return;
    }
    action();
    process.endTurn();
  }

  #scheduleTick(process: Process, delayMs: number): void {
    this.#components.world.after(delayMs, () => {
      if (process !== this.#process) return;
      this.#scheduleTick(process, this.#tickMs);
      if (this.#paused) this.#tickMissed = true;
      else this.#turnOf(process, () => process.raft.tick());
    });
  }

  #send(message: Message): void {
    if (message.type === 'snapshot') this.#sendSnapshot(message);
    else this.#components.network.send(message);
  }

  /** Sends the newest snapshot on disk, whatever the message speaks of. */
  #sendSnapshot(message: SnapshotMessage): void {
    const { world, network, hosts, random } = this.#components;
    const { to } = message;
    const snapshot = this.disk.snapshot;
    if (this.#sending.has(to)) return;
    const process = this.#process;
    if (snapshot === undefined || process === undefined) return;
    let ended = false;
    const report = (ok: boolean) => {
      if (ended || process !== this.#process) return;
      ended = true;
      this.#turnOf(process, () => {
        this.#sending.delete(to);
        process.raft.reportSnapshot(to, ok);
      });
    };
    world.count('snapshot sent');
    if (this.#sending.size >= SENDS_MAX) {
      world.after(0, () => report(false));
      return;
    }
    this.#sending.set(to, snapshot.meta.index);
    world.after(SEND_DEADLINE_MS * (0.5 + random.float()), () => report(false));
    const reply = (ok: boolean) =>
      network.transport({ from: to, to: this.id, deliver: () => report(ok) });
    const { id: from } = this;
    const sent = { ...message, snapshot: snapshot.meta };
    network.transport(
      { from, to, deliver: () => hosts.get(to)?.receiveSnapshot(sent, snapshot, reply) },
      exponential(random, 30),
    );
  }

  /** The bytes are durable before the core hears of them. */
  receiveSnapshot(
    message: SnapshotMessage,
    snapshot: StoredSnapshot,
    reply: (ok: boolean) => void,
  ): void {
    const { world } = this.#components;
    this.turn((process) => {
      if (this.#receiving || process.installing) {
        reply(false);
        return;
      }
      if (snapshot.meta.index <= process.applied) {
        // Refused, it would be sent again for ever: 1. a snapshot is taken over; 2. the answer and the
        // acknowledgement are lost; 3. the leader probes where its log does not reach any more.
        const refuses = world.faults.has('known-snapshot-refused');
        if (!refuses) process.raft.step(message);
        reply(!refuses);
        return;
      }
      this.#receiving = true;
      this.disk.writeSnapshot(snapshot, () =>
        this.#turnOf(process, () => {
          this.#receiving = false;
          world.moment(this.id, 'snapshot stored');
          // A newer one may be there, whose message came too late to be heard.
          const older = world.faults.has('older-snapshot-stepped');
          const stored = older ? snapshot.meta : (this.disk.snapshot?.meta ?? snapshot.meta);
          process.raft.step({ ...message, snapshot: stored });
          // From here to the taking over no other snapshot may come in between.
          process.pump();
          reply(true);
        }),
      );
    });
  }
}
