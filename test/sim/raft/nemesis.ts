/** What goes wrong, and for how long: cuts, clogged links, stalled disks, crashes, pauses. */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Host } from './host.ts';
import type { Moment } from './moments.ts';
import type { SimNetwork } from './network.ts';
import type { PartitionMode, Spell, SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';

/** A member that was struck is left alone for about so long. */
const STRIKE_PAUSE_MS = 300;

export type NemesisComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly options: SwarmOptions;
};

export class Nemesis {
  readonly #components: NemesisComponents;
  #ended = false;
  readonly #struck = new Set<NodeId>();

  constructor(components: NemesisComponents) {
    this.#components = components;
  }

  start(): void {
    const { options, world } = this.#components;
    world.onMoment = (member, moment) => this.#maybeStrike(member, moment);
    this.#alternate(options.partition, () => this.#partition());
    this.#alternate(options.clog, () => this.#clog());
    this.#alternate(options.diskStall, () => this.#stallDisk());
    this.#alternate(options.crash, () => this.#crash());
    this.#alternate(options.pause, () => this.#pause());
  }

  /** No more troubles; those that last are ended by whoever heals. */
  end(): void {
    this.#ended = true;
  }

  /** A member is at a point where trouble counts for more than at others. */
  #maybeStrike(member: NodeId, moment: Moment): void {
    const { world, random, options, hosts } = this.#components;
    const { strikes } = options;
    if (this.#ended || strikes.odds === 0 || !strikes.moments.includes(moment)) return;
    if (this.#struck.has(member) || !random.chance(strikes.odds)) return;
    const kind = random.pick(strikes.kinds);
    this.#struck.add(member);
    world.after(exponential(random, strikes.delayMs), () => {
      if (this.#ended) return;
      const host = hosts.get(member);
      world.count(`strike ${kind} at ${moment}`);
      world.trace(member, 'strike', `${kind} at ${moment}`);
      if (kind === 'crash') host?.crash();
      else if (kind === 'pause') host?.pause();
      else this.#isolate(member, true);
      world.after(exponential(random, strikes.meanMs), () => {
        if (this.#ended) return;
        if (kind === 'crash') host?.start();
        else if (kind === 'pause') host?.resume();
        else this.#isolate(member, false);
        // Time to get somewhere before the next blow.
        world.after(exponential(random, STRIKE_PAUSE_MS), () => this.#struck.delete(member));
      });
    });
  }

  #isolate(member: NodeId, cut: boolean): void {
    const { network } = this.#components;
    if (cut) network.isolated.add(member);
    else network.rejoin(member);
  }

  /** Quiet, trouble, quiet: `begin` starts the trouble and returns what ends it. */
  #alternate(spell: Spell, begin: () => (() => void) | undefined): void {
    if (spell.everyMs === Number.POSITIVE_INFINITY) return;
    const { world, random } = this.#components;
    world.after(exponential(random, spell.everyMs), () => {
      if (this.#ended) return;
      const end = begin();
      world.after(spell.leastMs + exponential(random, spell.meanMs), () => {
        if (this.#ended) return;
        end?.();
        this.#alternate(spell, begin);
      });
    });
  }

  #partition(): (() => void) | undefined {
    const { world, random, network, hosts, options } = this.#components;
    const { modes, oneWay } = options.partition;
    const mode = random.pick(modes);
    const far = new Set(this.#side(mode, [...hosts.keys()]));
    const direction = random.chance(oneWay) ? random.pick(['out', 'in'] as const) : 'both';
    world.count(`partition ${mode}`);
    world.count(direction === 'both' ? 'partition symmetric' : 'partition one-way');
    world.trace('net', 'partition', `${mode} far=${[...far].join()} cut=${direction}`);
    network.cut((from, to) => {
      if (far.has(from) === far.has(to)) return false;
      return direction === 'both' || far.has(from) === (direction === 'out');
    });
    return () => {
      world.trace('net', 'heal', '');
      network.heal();
    };
  }

  #side(mode: PartitionMode, ids: readonly NodeId[]): readonly NodeId[] {
    const { random } = this.#components;
    switch (mode) {
      case 'size':
        return shuffled(random, ids).slice(0, random.int(1, Math.max(1, ids.length - 1)));
      case 'coin':
        return ids.filter(() => random.chance(0.5));
      case 'single':
        return [random.pick(ids)];
      case 'leader':
        return [this.#leader()?.id ?? random.pick(ids)];
      default:
        return mode satisfies never;
    }
  }

  /** One link, or several one after another, let go in another order. */
  #clog(): () => void {
    const { world, random, network, hosts, options } = this.#components;
    const ids = [...hosts.keys()];
    const swizzle = random.chance(options.clog.swizzle);
    world.count(swizzle ? 'swizzle clog' : 'clog');
    const nodes = swizzle ? ids.filter(() => random.chance(0.5)) : [random.pick(ids)];
    const links = nodes.flatMap((node) => {
      const others = swizzle ? ids : [random.pick(ids)];
      return others.flatMap((other) => [
        { from: node, to: other },
        { from: other, to: node },
      ]);
    });
    const stepMs = options.clog.leastMs / Math.max(1, links.length);
    const set = (clogged: boolean) => {
      for (const [at, { from, to }] of shuffled(random, links).entries()) {
        world.after(at * stepMs, () => {
          if (!this.#ended) network.clog(from, to, clogged);
        });
      }
    };
    world.trace('net', swizzle ? 'swizzle-clog' : 'clog', nodes.join());
    set(true);
    return () => set(false);
  }

  #stallDisk(): () => void {
    const { world, random, hosts } = this.#components;
    const host = random.pick([...hosts.values()]);
    world.count('disk stall');
    world.trace(host.id, 'disk-stall', '');
    host.disk.stalled = true;
    return () => {
      host.disk.stalled = false;
    };
  }

  #crash(): () => void {
    const { world, random, hosts, options } = this.#components;
    const up = [...hosts.values()].filter((host) => host.process !== undefined);
    if (up.length === 0) return () => {};
    const all = random.chance(options.crash.all);
    world.count(all ? 'crash of all' : 'crash');
    const leader = random.chance(options.crash.leader) ? this.#leader() : undefined;
    const victims = all ? up : [leader ?? random.pick(up)];
    for (const host of victims) host.crash();
    return () => {
      for (const host of shuffled(random, victims)) host.start();
    };
  }

  #pause(): () => void {
    const { world, random, hosts, options } = this.#components;
    const up = [...hosts.values()].filter((host) => host.up);
    if (up.length === 0) return () => {};
    const leader = random.chance(options.pause.leader) ? this.#leader() : undefined;
    const host = leader ?? random.pick(up);
    world.count('pause');
    host.pause();
    return () => host.resume();
  }

  #leader(): Host | undefined {
    return leaderOf(this.#components.hosts.values());
  }
}

/** Who claims to lead the highest term among those that run. */
export function leaderOf(hosts: Iterable<Host>): Host | undefined {
  let found: Host | undefined;
  let highest = -1;
  for (const host of hosts) {
    if (!host.up || host.process === undefined) continue;
    const { role, term } = host.process.status;
    if (role !== 'leader' || term <= highest) continue;
    found = host;
    highest = term;
  }
  return found;
}

export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, key: random.float() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
