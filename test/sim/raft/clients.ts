/**
 * Clients: one operation at a time each. A write keeps its id until it is acknowledged, however often it
 * is sent; a read is sent again until it is answered. Requests and answers can be lost.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Checkers } from './checkers/checkers.ts';
import type { Host } from './host.ts';
import { encodeCommand } from './kv-machine.ts';
import type { Reply } from './requests.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';

export type ClientComponents = {
  readonly world: World;
  readonly random: Random;
  readonly checkers: Checkers;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly options: SwarmOptions['clients'];
};

type Operation = {
  readonly kind: 'write' | 'read';
  readonly sequence: number;
  readonly key: string;
  /** What was answered to anybody before this began. */
  readonly floor: number;
  attempts: number;
};

/**
 * Writes that come in numbers and that nobody waits for: to whoever claims to lead, so that a leader that
 * is cut off has a tail of its own.
 */
export class Flood {
  readonly #components: ClientComponents;
  #sequence = 0;
  #ended = false;

  constructor(components: ClientComponents) {
    this.#components = components;
  }

  start(): void {
    const { world, random, options } = this.#components;
    if (options.floodEveryMs === Number.POSITIVE_INFINITY) return;
    world.after(exponential(random, options.floodEveryMs), () => {
      if (this.#ended) return;
      this.#pour();
      this.start();
    });
  }

  end(): void {
    this.#ended = true;
  }

  #pour(): void {
    const { world, random, hosts, options } = this.#components;
    const claiming = [...hosts.values()].filter(
      (host) => host.up && host.process?.status.role === 'leader',
    );
    if (claiming.length === 0) return;
    world.count('flood');
    random.pick(claiming).turn((process) => {
      for (let left = random.int(1, options.floodMax); left > 0; left--) {
        const key = `k${random.int(1, options.keys)}`;
        const command = { client: 'flood', sequence: ++this.#sequence, attempt: 0, key };
        process.requests.write(encodeCommand(command, 0), () => {});
      }
    });
  }
}

/** A refused request is sent again after this long, on average. */
const RETRY_MS = 30;
/** Longest wait of a client before it asks again. */
const PATIENCE_MAX_MS = 2_000;
/** The same in the liveness phase: a member that was removed may be asked a few times in vain. */
const CALM_PATIENCE_MAX_MS = 500;

export class Client {
  readonly name: string;
  readonly #components: ClientComponents;
  #operation: Operation | undefined;
  #sequence = 0;
  #leader: NodeId | undefined;
  #stopping = false;

  constructor(name: string, components: ClientComponents) {
    this.name = name;
    this.#components = components;
  }

  /** True when nothing is asked and nothing will be. */
  get idle(): boolean {
    return this.#stopping && this.#operation === undefined;
  }

  start(): void {
    this.#stopping = false;
    this.#think();
  }

  /** Ends what is under way, and begins nothing more. */
  stop(): void {
    this.#stopping = true;
  }

  #think(): void {
    const { world, random, options } = this.#components;
    world.after(exponential(random, options.thinkMeanMs), () => this.#begin());
  }

  #begin(): void {
    if (this.#stopping || this.#operation !== undefined) return;
    const { world, random, checkers, options } = this.#components;
    // The liveness phase waits for both.
    const reads = world.calm ? 0.5 : options.reads;
    const kind = random.chance(reads) ? 'read' : 'write';
    if (kind === 'write') this.#sequence++;
    this.#operation = {
      kind,
      sequence: this.#sequence,
      key: `k${random.int(1, options.keys)}`,
      floor: checkers.clients.floor,
      attempts: 0,
    };
    this.#attempt(this.#operation);
  }

  #attempt(operation: Operation): void {
    if (operation !== this.#operation) return;
    const { world, random, hosts, options } = this.#components;
    const target = this.#target();
    const attempt = operation.attempts++;
    if (attempt > 0) world.count(`${operation.kind} retried`);
    // Whoever does not wait longer each time would fill the log faster than it is committed.
    const mostMs = world.calm ? CALM_PATIENCE_MAX_MS : PATIENCE_MAX_MS;
    const patienceMs = Math.min(options.timeoutMs * (1 + attempt), mostMs);
    const deadlineMs = patienceMs * (0.5 + random.float());
    world.after(deadlineMs, () => {
      if (attempt !== operation.attempts - 1) return;
      this.#leader = undefined;
      this.#attempt(operation);
    });
    if (target === undefined || random.chance(options.loss)) return;
    const answer = (reply: Reply) => {
      if (random.chance(options.loss)) return;
      world.after(exponential(random, 1), () => this.#answered(operation, attempt, reply));
    };
    world.after(exponential(random, 1), () => {
      hosts.get(target)?.turn((process) => {
        if (operation.kind === 'read') {
          process.requests.read(operation.key, answer);
          return;
        }
        const { sequence, key } = operation;
        const padding = random.int(0, options.paddingBytesMax);
        const command = { client: this.name, sequence, attempt, key };
        process.requests.write(encodeCommand(command, padding), answer);
      });
    });
  }

  /** The leader as far as known, mostly; otherwise anybody, reads at followers included. */
  #target(): NodeId | undefined {
    const { random, hosts, options } = this.#components;
    if (random.chance(options.toClaiming)) {
      const claiming = [...hosts.values()].filter(
        (host) => host.process?.status.role === 'leader' && !host.frozen,
      );
      if (claiming.length > 0) return random.pick(claiming).id;
    }
    if (this.#leader !== undefined && random.chance(0.7)) return this.#leader;
    const up = [...hosts.values()].filter((host) => host.process !== undefined && !host.frozen);
    return up.length === 0 ? undefined : random.pick(up).id;
  }

  #answered(operation: Operation, attempt: number, reply: Reply): void {
    if (operation !== this.#operation) return;
    const { world, random, checkers } = this.#components;
    const { clients } = checkers;
    switch (reply.kind) {
      case 'written':
        clients.wrote(this.name, operation.sequence, reply, operation.floor);
        world.count('write acknowledged');
        if (world.tracing) {
          world.trace(this.name, 'wrote', `sequence=${operation.sequence} index=${reply.index}`);
        }
        break;
      case 'read':
        clients.read(this.name, operation.key, reply, operation.floor);
        world.count('read answered');
        if (world.tracing) {
          world.trace(this.name, 'read', `key=${operation.key} index=${reply.confirmed}`);
        }
        break;
      case 'refused':
      case 'unknown':
        // Late news of an attempt that was given up already.
        if (attempt !== operation.attempts - 1) return;
        this.#leader = reply.kind === 'refused' ? reply.leader : undefined;
        world.after(exponential(random, RETRY_MS), () => {
          if (attempt === operation.attempts - 1) this.#attempt(operation);
        });
        return;
      default:
        reply satisfies never;
    }
    this.#operation = undefined;
    this.#think();
  }
}
