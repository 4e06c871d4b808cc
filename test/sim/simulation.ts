/** One seed, one run: puts the world together, lets it go wrong for a while, then asks it to live. */

import type { NodeId, SnapshotMeta } from '../../raft/types.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { Checkers } from './checkers/checkers.ts';
import type { CheckerName } from './checkers/failing.ts';
import { parseConfig } from './checkers/history.ts';
import { isQuorum } from './checkers/quorums.ts';
import { Client, groupPrefix } from './clients/client.ts';
import { Flood } from './clients/flood.ts';
import { hostSingleton } from './clients/singleton.ts';
import { Watcher } from './clients/watcher.ts';
import { Nemesis } from './faults/nemesis.ts';
import { Operator } from './faults/operator.ts';
import { found, foundingOf } from './founding.ts';
import { checkLinearizable } from './linearizability/checker.ts';
import { OperationLog } from './linearizability/operations.ts';
import { requireLiveness } from './liveness.ts';
import { Connections } from './machine/connections.ts';
import { unmountAll } from './machine/fs-shim.ts';
import { Host } from './machine/host.ts';
import { SimNetwork } from './machine/network.ts';
import type { Product } from './world/product.ts';
import { realProduct } from './world/product.ts';
import type { SwarmOptions } from './world/swarm.ts';
import { drawSwarm } from './world/swarm.ts';
import { performIn, Turns } from './world/turns.ts';
import type { TraceSink } from './world/world.ts';
import { CheckFailure, World } from './world/world.ts';

export type RunOptions = {
  /** Longest faulty phase, in simulated seconds. Default 15. */
  readonly seconds?: number;
  /** The product to test. Default: as it is. */
  readonly product?: Product;
  /** Checkers to leave out. Default: none. */
  readonly skip?: readonly CheckerName[];
  /** Blows of the nemesis to leave out, by number. Default: none. */
  readonly spare?: readonly number[];
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
  readonly blows: number;
  readonly committed: number;
  readonly elections: number;
  readonly counts: ReadonlyMap<string, number>;
};

/** Runs `seed`. Everything that happens follows from it, from `options` and from the code. One run at a time. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<Outcome> {
  unmountAll();
  const world = new World(options.product ?? (await realProduct()), options.trace);
  const run = new Run(world, seed, options);
  await performIn(world, () => run.perform());
  const { checkers, steps, blows } = run;
  const failure = world.failure === undefined ? undefined : asFailure(world.failure, world.nowMs);
  return {
    ...{ seed, failure, steps, blows },
    simulatedMs: world.nowMs,
    committed: checkers.history.lastIndex,
    elections: checkers.elections.elections,
    counts: world.counts,
  };
}

class Run {
  readonly checkers: Checkers;
  readonly #world: World;
  readonly #turns: Turns;
  readonly #random;
  readonly #options: SwarmOptions;
  readonly #founding: SnapshotMeta;
  readonly #hosts = new Map<NodeId, Host>();
  readonly #network: SimNetwork;
  readonly #connections: Connections;
  readonly #nemesis: Nemesis;
  readonly #operator: Operator;

  constructor(world: World, seed: number, options: RunOptions) {
    this.#world = world;
    this.#turns = new Turns(world);
    this.#random = seededRandom(seed);
    const random = this.#random;
    const drawn = drawSwarm(random.fork(), options.seconds ?? 15);
    const swarm = options.adjust?.(drawn) ?? drawn;
    this.#options = swarm;
    const { founders, foundedAlone } = swarm;
    const voters = Array.from({ length: foundedAlone ? 1 : founders }, (_, at) => `n${at + 1}`);
    this.#founding = foundingOf(voters);
    const hosts = this.#hosts;
    this.checkers = new Checkers({
      world,
      founding: this.#founding,
      holds: (node, index, term) => hosts.get(node)?.disk.durable.holds(index, term) === true,
      skipped: new Set(options.skip),
    });
    const network = new SimNetwork(world, random.fork(), swarm.network);
    this.#network = network;
    this.#connections = new Connections(world, random.fork(), network, swarm.network);
    const shared = { world, hosts, options: swarm, network };
    this.#operator = new Operator({ ...shared, random: random.fork(), join: () => this.#join() });
    this.#nemesis = new Nemesis({
      ...{ ...shared, random: random.fork(), spared: new Set(options.spare) },
      maySpare: (host) => this.#maySpare(host),
      lost: () => this.#operator.lost(),
    });
    world.trace('sim', 'seed', `${seed} ${JSON.stringify(swarm)}`);
  }

  get steps(): number {
    return this.#turns.steps;
  }

  get blows(): number {
    return this.#nemesis.blows;
  }

  async perform(): Promise<void> {
    const world = this.#world;
    const options = this.#options;
    const random = this.#random;
    const hosts = this.#hosts;
    const { checkers } = this;
    await found(world, this.#founding, (node) => this.#host(node));
    for (const host of hosts.values()) host.start();
    const log = new OperationLog();
    const shared = { world, hosts, checkers, log, options: options.clients };
    const clients = Array.from(
      { length: options.clients.count },
      (_, at) => new Client(`c${at + 1}`, { ...shared, random: random.fork() }),
    );
    const watchers = Array.from({ length: options.clients.watchers }, (_, at) => {
      const prefix = groupPrefix(`g${(at % options.clients.groups) + 1}`);
      return new Watcher(`w${at + 1}`, { ...shared, random: random.fork(), prefix });
    });
    const flood = new Flood({ ...shared, random: random.fork() });
    this.#nemesis.start();
    this.#operator.start();
    flood.start();
    for (const client of clients) client.start();
    for (const watcher of watchers) watcher.start();
    await this.#turns.until(() => false, options.faultyMs);
    this.#nemesis.end();
    this.#operator.end();
    flood.end();
    await requireLiveness({
      ...{ world, hosts, checkers, clients, options, network: this.#network },
      random: random.fork(),
      runUntil: (done, limitMs) => this.#turns.until(done, limitMs),
    });
    for (const watcher of watchers) watcher.settle();
    this.#judge(log);
  }

  /** The history as clients saw it, by itself. */
  #judge(log: OperationLog): void {
    const world = this.#world;
    const verdict = checkLinearizable(log.operations);
    world.count(`history ${verdict.kind}`);
    world.count('operations judged', log.operations.length);
    if (verdict.kind !== 'violation') return;
    const { group, placed, stuck } = verdict;
    const facts = {
      group,
      placed: placed.length,
      last: JSON.stringify(placed.at(-1)),
      stuck: stuck.map((operation) => JSON.stringify(operation)).join('\n      '),
    };
    this.checkers.fail('linearizability', 'clients see one copy of the data', facts);
  }

  #join(): NodeId {
    const id = `n${this.#hosts.size + 1}`;
    this.#world.count('join');
    this.#host(id).start();
    return id;
  }

  #host(id: NodeId): Host {
    const random = this.#random.fork();
    const host = new Host(id, {
      ...{ world: this.#world, network: this.#network, connections: this.#connections },
      ...{ checkers: this.checkers, options: this.#options, random: this.#random.fork() },
      started: (_, process) => {
        const options = this.#options.clients;
        hostSingleton(process, { world: this.#world, random, options });
      },
    });
    this.#hosts.set(id, host);
    return host;
  }

  /**
   * What replication can repair is the bound of every fault: whoever is lost, the others must still be a quorum of whatever
   * anybody goes by or has ahead in a log. Changes under way make that hard to say, so nobody is lost meanwhile.
   */
  #maySpare(host: Host): boolean {
    const hosts = [...this.#hosts.values()];
    if (hosts.some(({ lost }) => lost)) return false;
    const latest = parseConfig(this.checkers.history.lastConfig.what);
    const rest = new Set(hosts.filter((other) => other !== host).map(({ id }) => id));
    return isQuorum(latest, rest) && hosts.every((other) => !hasChangeAhead(other));
  }
}

function hasChangeAhead({ process, disk }: Host): boolean {
  const log = process?.log ?? disk.durable.log;
  const from = process?.applied ?? log.baseIndex;
  for (let index = from + 1; index <= log.lastIndex; index++) {
    if (log.entryAt(index)?.kind === 'config') return true;
  }
  return false;
}

/** What broke a run, as a report tells it. */
export function asFailure(error: unknown, atMs: number): Failure {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  if (error instanceof CheckFailure) {
    return { checker: error.checker, law: error.message, facts: error.facts, atMs, stack };
  }
  const law = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : 'Error';
  const checkers: Readonly<Record<string, string>> = {
    RaftInvariantError: 'core invariant',
    InvariantError: 'invariant',
  };
  return { checker: checkers[name] ?? 'simulator', law, facts: {}, atMs, stack };
}
