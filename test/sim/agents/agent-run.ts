/** One seed, one cluster: machines with agents on them, users who want things, a while of trouble, then peace. */

import type { NodeId } from '../../../raft/types.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { parseConfig } from '../checkers/history.ts';
import { chooseCore } from '../core-group.ts';
import { Nemesis } from '../faults/nemesis.ts';
import { found, foundingOf } from '../founding.ts';
import { Connections } from '../machine/connections.ts';
import { unmountAll } from '../machine/fs-shim.ts';
import { Host } from '../machine/host.ts';
import { SimNetwork } from '../machine/network.ts';
import type { Process } from '../machine/process.ts';
import { asFailure, type Outcome, type RunOptions } from '../simulation.ts';
import { realProduct } from '../world/product.ts';
import { exponential } from '../world/swarm.ts';
import { performIn, Turns } from '../world/turns.ts';
import { World } from '../world/world.ts';
import { type AgentDoors, doorsOf } from './doors.ts';
import { ClusterLaws } from './laws.ts';
import { Machine } from './machine.ts';
import { SimNode } from './node.ts';
import { whatIsAmiss } from './quiescence.ts';
import { resetUuids } from './shims/crypto.ts';
import { resetFiles } from './shims/files.ts';
import { type ClusterOptions, drawCluster } from './swarm.ts';
import { Users } from './users.ts';

export type ClusterRunOptions = Omit<RunOptions, 'adjust'> & {
  /** Changes what the seed drew. Default: leaves it. */
  readonly adjustCluster?: (options: ClusterOptions) => ClusterOptions;
};

/** Longest time in which a cluster that nothing happens to has to be as it should. */
const PEACE_MS = 180_000;
/** What is as it should has to stay so. */
const STAYS_MS = 6_000;
/** Time between two looks at the whole cluster. */
const LOOK_MS = 250;
/** Longest start of a process. */
const STAND_STILL_MS = 5_000;

/** Runs `seed`. Everything that happens follows from it, from `options` and from the code. One run at a time. */
export async function runCluster(seed: number, options: ClusterRunOptions = {}): Promise<Outcome> {
  unmountAll();
  resetUuids();
  resetFiles();
  const world = new World(options.product ?? (await realProduct()), options.trace);
  const run = new ClusterRun(world, { seed, options, doors: await doorsOf(world.product) });
  await performIn(world, () => run.perform());
  const failure = world.failure === undefined ? undefined : asFailure(world.failure, world.nowMs);
  return {
    ...{ seed, failure, steps: run.turns.steps, blows: run.nemesis.blows },
    simulatedMs: world.nowMs,
    committed: run.laws.history.lastIndex,
    elections: run.laws.elections.elections,
    counts: world.counts,
  };
}

class ClusterRun {
  readonly laws: ClusterLaws;
  readonly turns: Turns;
  readonly nemesis: Nemesis;
  readonly #world: World;
  readonly #random;
  readonly #doors: AgentDoors;
  readonly #options: ClusterOptions;
  readonly #network: SimNetwork;
  readonly #connections: Connections;
  readonly #founding;
  readonly #hosts = new Map<NodeId, Host>();
  readonly #machines = new Map<NodeId, Machine>();
  readonly #nodes = new Map<NodeId, SimNode>();
  readonly #users: Users;

  constructor(
    world: World,
    how: {
      readonly seed: number;
      readonly options: ClusterRunOptions;
      readonly doors: AgentDoors;
    },
  ) {
    const { seed, options, doors } = how;
    this.#world = world;
    this.#doors = doors;
    this.turns = new Turns(world);
    this.#random = seededRandom(seed);
    const random = this.#random;
    const drawn = drawCluster(random.fork(), options.seconds ?? 30);
    const swarm = options.adjustCluster?.(drawn) ?? drawn;
    this.#options = swarm;
    const ids = Array.from({ length: swarm.founders }, (_, at) => `n${at + 1}`);
    this.#founding = foundingOf(ids);
    const hosts = this.#hosts;
    this.laws = new ClusterLaws({
      world,
      founding: this.#founding,
      holds: (node, index, term) => hosts.get(node)?.disk.durable.holds(index, term) === true,
      skipped: new Set(options.skip),
    });
    this.#network = new SimNetwork(world, random.fork(), swarm.network);
    this.#connections = new Connections(world, random.fork(), this.#network, swarm.network);
    this.nemesis = new Nemesis({
      ...{ world, hosts, options: swarm, network: this.#network, random: random.fork() },
      spared: new Set(options.spare),
      maySpare: () => false,
      lost: () => {},
    });
    this.#users = new Users({
      ...{ world, random: random.fork(), options: swarm.users, view: this.laws.view },
      members: () => [...this.#nodes.values()],
      machines: ids,
    });
    world.trace('sim', 'seed', `${seed} ${JSON.stringify(swarm)}`);
  }

  async perform(): Promise<void> {
    const { founders, faultyMs } = this.#options;
    for (let at = 1; at <= founders; at++) this.#machine(`n${at}`);
    await found(this.#world, this.#founding, (node) => this.#host(node));
    for (const host of this.#hosts.values()) host.start();
    this.#users.start();
    this.#endContainers();
    this.nemesis.start();
    await this.turns.until(() => false, faultyMs);
    this.nemesis.end();
    this.#users.end();
    const core = await this.#makePeace();
    await this.#requireQuiet(core);
    await this.#requireRules(core);
  }

  /** Ends every trouble; a random quorum goes on, the others have failed for good. */
  async #makePeace(): Promise<ReadonlySet<NodeId>> {
    const world = this.#world;
    const hosts = this.#hosts;
    world.calm = true;
    world.trace('sim', 'peace', '');
    for (const host of hosts.values()) {
      host.disk.stalled = false;
      host.disk.trouble = 'none';
      host.setWallError(0);
      host.start();
      host.slowDown(0);
      host.resume();
    }
    const running = () => [...hosts.values()].every((host) => host.process !== undefined);
    await this.turns.until(running, STAND_STILL_MS);
    const latest = parseConfig(this.laws.history.lastConfig.what);
    const core = chooseCore(latest, hosts, { world, random: this.#random.fork() });
    for (const host of hosts.values()) {
      if (core.has(host.id)) continue;
      host.crash({ power: true });
      host.frozen = true;
    }
    this.#network.calmDown(core);
    world.trace('sim', 'liveness', `core=${[...core].join()}`);
    this.#users.uncordonAll();
    return core;
  }

  /** Everything comes to be as it should, and stays so. */
  async #requireQuiet(core: ReadonlySet<NodeId>): Promise<void> {
    const world = this.#world;
    const machines = [...this.#machines.values()].filter(({ node }) => core.has(node));
    let lookedMs = Number.NEGATIVE_INFINITY;
    let quietSinceMs: number | undefined;
    let amiss: string | undefined;
    const quiet = () => {
      if (world.nowMs < lookedMs + LOOK_MS) return false;
      lookedMs = world.nowMs;
      amiss = whatIsAmiss({ view: this.laws.view, machines });
      if (amiss === undefined) quietSinceMs ??= world.nowMs;
      else quietSinceMs = undefined;
      return quietSinceMs !== undefined && world.nowMs >= quietSinceMs + STAYS_MS;
    };
    if (await this.turns.until(quiet, PEACE_MS)) return;
    const facts = { amiss, core: [...core].join(), limitMs: PEACE_MS };
    this.laws.fail('quiescence', 'a cluster that is left alone becomes what was asked for', facts);
  }

  /** Each node's rules are those that a proxy makes that knows nothing of the past. */
  async #requireRules(core: ReadonlySet<NodeId>): Promise<void> {
    const made = [...core].map((id) => {
      const wanted = new this.#doors.MemoryNftables();
      const made = { id, wanted, done: false };
      const node = this.#nodes.get(id);
      node?.process.turn(() => {
        void node
          .secondProxy(wanted)
          .start()
          .then(() => {
            made.done = true;
          });
      });
      return made;
    });
    await this.turns.until(() => made.every(({ done }) => done), STAND_STILL_MS);
    for (const { id, wanted, done } of made) {
      const has = this.#machines.get(id)?.nftables.dump();
      const [found, expected] = [has, wanted.dump()].map((dump) => JSON.stringify(dump, null, 1));
      this.#world.count('rulesets compared');
      if (done && found === expected) continue;
      const facts = { node: id, done, ...firstDifference(found ?? '', expected ?? '') };
      this.laws.fail('quiescence', 'the rules of a node are those of the Services', facts);
    }
  }

  /** Containers end by themselves now and then. */
  #endContainers(): void {
    const { containerEndsMs } = this.#options;
    if (containerEndsMs === Number.POSITIVE_INFINITY) return;
    const world = this.#world;
    const random = this.#random.fork();
    const next = () =>
      world.after(exponential(random, containerEndsMs), () => {
        if (world.calm) return;
        const machine = random.pick([...this.#machines.values()]);
        const running = [...machine.containers.values()].filter((one) => one.running);
        if (running.length > 0) machine.runtime.crash(random.pick(running).id, random.int(0, 1));
        next();
      });
    next();
  }

  #machine(node: NodeId): void {
    const machine = new Machine(node, {
      world: this.#world,
      doors: this.#doors,
      onStart: (_, podUid) => this.laws.startsContainer(node, podUid),
    });
    this.#machines.set(node, machine);
  }

  #host(id: NodeId): Host {
    const random = this.#random.fork();
    const machine = this.#machines.get(id);
    const host = new Host(id, {
      ...{ world: this.#world, network: this.#network, connections: this.#connections },
      ...{ checkers: this.laws, options: this.#options, random: this.#random.fork() },
      started: (_, process) => this.#startNode(id, process, random),
      powerFailed: () => machine?.powerFails(),
    });
    this.#hosts.set(id, host);
    return host;
  }

  #startNode(id: NodeId, process: Process, random: ReturnType<typeof seededRandom>): void {
    const world = this.#world;
    const machine = this.#machines.get(id);
    if (machine === undefined) throw new Error(`there is no machine ${id}`);
    const node = new SimNode({ world, random, process, machine, doors: this.#doors });
    this.#nodes.set(id, node);
    process.onEnd(() => {
      if (this.#nodes.get(id) === node) this.#nodes.delete(id);
    });
    node.start().catch((error: unknown) => world.fail(error));
  }
}

/** The first lines in which two texts differ. */
function firstDifference(found: string, expected: string) {
  const theirs = expected.split('\n');
  const at = found.split('\n').findIndex((line, index) => line !== theirs[index]);
  const around = (text: string) =>
    text
      .split('\n')
      .slice(Math.max(0, at - 4), at + 6)
      .join('\n');
  return { found: around(found), expected: around(expected) };
}
