/** One seed, one run: puts the world together, lets it go wrong for a while, then asks it to live. */

import { foundingConfState } from '../../../raft/config-change.ts';
import * as realCore from '../../../raft/raw-node.ts';
import type { Message, NodeId, SnapshotMeta } from '../../../raft/types.ts';
import { asIndex, asTerm } from '../../../raft/types.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { Checkers } from './checkers/checkers.ts';
import type { CheckerName } from './checkers/failing.ts';
import { Client, Flood } from './clients.ts';
import { Host } from './host.ts';
import { KvMachine } from './kv-machine.ts';
import { requireLiveness } from './liveness.ts';
import { Nemesis } from './nemesis.ts';
import { SimNetwork } from './network.ts';
import { Operator } from './operator.ts';
import type { SwarmOptions } from './swarm.ts';
import { drawSwarm } from './swarm.ts';
import type { CoreModule, DriverFault, TraceSink } from './world.ts';
import { CheckFailure, World } from './world.ts';

export type RunOptions = {
  /** Longest faulty phase, in simulated seconds. Default 15. */
  readonly seconds?: number;
  /** The core to test. Default: raft/raw-node.ts. */
  readonly core?: CoreModule;
  /** Faults of the driver. Default: none. */
  readonly faults?: readonly DriverFault[];
  /** Checkers to leave out. Default: none. */
  readonly skip?: readonly CheckerName[];
  /** Gets every line of the trace. Default: nobody does. */
  readonly trace?: TraceSink;
  /** Changes what the seed drew. Default: leaves it. */
  readonly adjust?: (options: SwarmOptions) => SwarmOptions;
};

export type Failure = {
  readonly checker: string;
  readonly law: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly atMs: number;
  readonly stack: string;
};

export type Outcome = {
  readonly seed: number;
  /** Undefined if every law held. */
  readonly failure: Failure | undefined;
  readonly simulatedMs: number;
  readonly steps: number;
  readonly committed: number;
  readonly elections: number;
  readonly counts: ReadonlyMap<string, number>;
};

/** More steps than any run needs: something goes in circles. */
const STEPS_MAX = 5_000_000;

/** Runs `seed`. Everything that happens follows from it, from `options` and from the code. */
export function runSeed(seed: number, options: RunOptions = {}): Outcome {
  const world = new World(options.core ?? realCore, new Set(options.faults), options.trace);
  const run = new Run(world, seed, options);
  let failure: Failure | undefined;
  try {
    run.perform();
  } catch (error) {
    failure = asFailure(error, world.nowMs);
  }
  const { checkers, steps } = run;
  return {
    seed,
    failure,
    steps,
    simulatedMs: world.nowMs,
    committed: checkers.history.lastIndex,
    elections: checkers.elections.elections,
    counts: world.counts,
  };
}

class Run {
  readonly checkers: Checkers;
  steps = 0;
  readonly #world: World;
  readonly #random;
  readonly #options: SwarmOptions;
  readonly #founding: SnapshotMeta;
  readonly #hosts = new Map<NodeId, Host>();
  readonly #network: SimNetwork;

  constructor(world: World, seed: number, options: RunOptions) {
    this.#world = world;
    this.#random = seededRandom(seed);
    const drawn = drawSwarm(this.#random.fork(), options.seconds ?? 15);
    this.#options = options.adjust?.(drawn) ?? drawn;
    const { founders, foundedAlone } = this.#options;
    const voters = Array.from({ length: foundedAlone ? 1 : founders }, (_, at) => `n${at + 1}`);
    this.#founding = {
      index: asIndex(1),
      term: asTerm(1),
      confState: foundingConfState(voters),
    };
    const holds = (node: NodeId, index: number, term: number): boolean => {
      const disk = this.#hosts.get(node)?.disk;
      if (disk === undefined) return false;
      return disk.log.termAt(index) === term || (disk.snapshot?.meta.index ?? 0) >= index;
    };
    this.checkers = new Checkers(this.#founding, holds, new Set(options.skip));
    this.#network = new SimNetwork(world, this.#random.fork(), this.#options.network, {
      deliver: (message) => this.#deliver(message),
      unreachable: (from, to) => {
        world.count('unreachable reported');
        this.#hosts.get(from)?.turn((process) => process.raft.reportUnreachable(to));
      },
    });
    world.trace('sim', 'seed', `${seed} ${JSON.stringify(this.#options)}`);
  }

  perform(): void {
    const world = this.#world;
    const options = this.#options;
    const random = this.#random;
    const hosts = this.#hosts;
    for (const node of this.#founding.confState.voters) this.#found(node);
    for (const host of hosts.values()) host.start();
    const shared = { world, hosts, options, network: this.#network };
    const nemesis = new Nemesis({ ...shared, random: random.fork() });
    const join = () => this.#join();
    const operator = new Operator({ ...shared, random: random.fork(), join });
    const { checkers } = this;
    const clients = Array.from(
      { length: options.clients.count },
      (_, at) =>
        new Client(`c${at + 1}`, {
          ...{ world, hosts, checkers, random: random.fork() },
          options: options.clients,
        }),
    );
    const flood = new Flood({
      ...{ world, hosts, checkers, random: random.fork() },
      options: options.clients,
    });
    nemesis.start();
    operator.start();
    flood.start();
    for (const client of clients) client.start();
    this.#runUntil(() => false, options.faultyMs);
    nemesis.end();
    operator.end();
    flood.end();
    requireLiveness({
      ...{ ...shared, checkers, clients, random: random.fork() },
      runUntil: (done, limitMs) => this.#runUntil(done, limitMs),
    });
  }

  #runUntil(done: () => boolean, limitMs: number): boolean {
    const { queue } = this.#world;
    const endMs = queue.nowMs + limitMs;
    for (;;) {
      // Looking at everybody after every step would cost more than the steps.
      for (let step = 0; step < 20; step++) {
        if (!queue.runNext(endMs)) return done();
        this.steps++;
      }
      if (done()) return true;
      if (this.steps > STEPS_MAX) {
        const facts = { steps: this.steps };
        throw new CheckFailure('liveness', 'a run ends after a bounded number of steps', facts);
      }
    }
  }

  #deliver(message: Message): void {
    if (this.#world.tracing) {
      this.#world.trace(message.to, 'receive', describeMessage(message));
    }
    this.#hosts.get(message.to)?.deliver(message);
  }

  #found(id: NodeId): void {
    const host = this.#host(id);
    const meta = this.#founding;
    const machine = new KvMachine();
    machine.apply(meta.index, undefined);
    const hardState = { term: meta.term, vote: undefined, commit: meta.index };
    host.disk.found({ meta, image: machine.image() }, hardState);
  }

  #join(): NodeId {
    const id = `n${this.#hosts.size + 1}`;
    this.#world.count('join');
    this.#host(id).start();
    return id;
  }

  #host(id: NodeId): Host {
    const host = new Host(id, {
      ...{ world: this.#world, network: this.#network, checkers: this.checkers },
      ...{ options: this.#options, hosts: this.#hosts, random: this.#random.fork() },
    });
    this.#hosts.set(id, host);
    return host;
  }
}

function asFailure(error: unknown, atMs: number): Failure {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  if (error instanceof CheckFailure) {
    return { checker: error.checker, law: error.message, facts: error.facts, atMs, stack };
  }
  const law = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : 'Error';
  const core = name === 'RaftInvariantError';
  return { checker: core ? 'core invariant' : 'simulator', law, facts: {}, atMs, stack };
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
