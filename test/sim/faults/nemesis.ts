/**
 * What goes wrong, and for how long: cuts, clogged links, disks that stall, fail or are lost, crashes, pauses, slow event loops,
 * clocks that jump. Every blow has a number, so that a failing story can be told again without it.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Host } from '../machine/host.ts';
import type { SimNetwork } from '../machine/network.ts';
import type { Moment } from '../world/moments.ts';
import type { PartitionMode, Spell, SwarmOptions } from '../world/swarm.ts';
import { exponential, shuffled } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

/** A member that was struck is left alone for about so long. */
const STRIKE_PAUSE_MS = 300;
/** Longest time for which a leader may take a dead member for present. */
export const UNNOTICED_MS = 2_500;

export type NemesisComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly options: SwarmOptions;
  /** True if the group can do without this machine for good. */
  readonly maySpare: (host: Host) => boolean;
  /** A machine was lost for good. */
  readonly lost: (host: Host) => void;
  /** Blows to leave out, by number. */
  readonly spared: ReadonlySet<number>;
};

/** Starts a trouble and returns what ends it; undefined if there is nobody to trouble. */
type Begin = (random: Random) => (() => void) | undefined;

export class Nemesis {
  readonly #components: NemesisComponents;
  #ended = false;
  #blows = 0;
  readonly #struck = new Set<NodeId>();

  constructor(components: NemesisComponents) {
    this.#components = components;
  }

  /** Blows so far, those left out included. */
  get blows(): number {
    return this.#blows;
  }

  start(): void {
    const { options, world } = this.#components;
    world.onMoment = (member, moment) => this.#maybeStrike(member, moment);
    this.#alternate(options.partition, (random) => this.#partition(random));
    this.#alternate(options.clog, (random) => this.#clog(random));
    this.#alternate(options.diskStall, (random) => this.#stallDisk(random));
    this.#alternate(options.diskTrouble, (random) => this.#troubleDisk(random));
    this.#alternate(options.crash, (random) => this.#crash(random));
    this.#alternate(options.loseDisk, (random) => this.#loseDisk(random));
    this.#alternate(options.pause, (random) => this.#pause(random));
    this.#alternate(options.slowLoop, (random) => this.#slowLoop(random));
    this.#alternate(options.clockJump, (random) => this.#clockJump(random));
  }

  /** No more troubles; those that last are ended by whoever heals. */
  end(): void {
    this.#ended = true;
  }

  /** Counts a blow. False if it is one of those to leave out. */
  #strikes(): boolean {
    return !this.#components.spared.has(++this.#blows);
  }

  /** A member is at a point where trouble counts for more than at others. */
  #maybeStrike(member: NodeId, moment: Moment): void {
    const { world, random, options, hosts } = this.#components;
    const { strikes } = options;
    if (this.#ended || strikes.odds === 0 || !strikes.moments.includes(moment)) return;
    if (this.#struck.has(member) || !random.chance(strikes.odds)) return;
    const kind = random.pick(strikes.kinds);
    const delayMs = exponential(random, strikes.delayMs);
    const lengthMs = exponential(random, strikes.meanMs);
    const power = random.chance(options.crash.power);
    if (!this.#strikes()) return;
    const number = this.#blows;
    this.#struck.add(member);
    world.after(delayMs, () => {
      if (this.#ended) return;
      const host = hosts.get(member);
      world.count(`strike ${kind} at ${moment}`);
      world.trace(member, 'strike', `${number} ${kind} at ${moment}`);
      if (kind === 'crash') host?.crash({ power });
      else if (kind === 'pause') host?.pause();
      else this.#isolate(member, true);
      world.after(lengthMs, () => {
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

  /** Quiet, trouble, quiet. Each kind of trouble has chances of its own, and each blow of a kind. */
  #alternate(spell: Spell, begin: Begin): void {
    // Drawn in any case: without this kind of trouble the others stay what they are.
    const random = this.#components.random.fork();
    if (spell.everyMs === Number.POSITIVE_INFINITY) return;
    const { world } = this.#components;
    const next = () =>
      world.after(exponential(random, spell.everyMs), () => {
        if (this.#ended) return;
        const own = random.fork();
        const lastsMs = spell.leastMs + exponential(random, spell.meanMs);
        const end = this.#strikes() ? begin(own) : undefined;
        world.after(lastsMs, () => {
          if (this.#ended) return;
          end?.();
          next();
        });
      });
    next();
  }

  #tell(who: string, event: string, details: string): void {
    this.#components.world.trace(who, event, `${this.#blows} ${details}`);
  }

  #partition(random: Random): () => void {
    const { world, network, hosts, options } = this.#components;
    const { modes, oneWay } = options.partition;
    const mode = random.pick(modes);
    const far = new Set(this.#side(random, mode, [...hosts.keys()]));
    const direction = random.chance(oneWay) ? random.pick(['out', 'in'] as const) : 'both';
    world.count(`partition ${mode}`);
    world.count(direction === 'both' ? 'partition symmetric' : 'partition one-way');
    this.#tell('net', 'partition', `${mode} far=${[...far].join()} cut=${direction}`);
    network.cut((from, to) => {
      if (far.has(from) === far.has(to)) return false;
      return direction === 'both' || far.has(from) === (direction === 'out');
    });
    return () => {
      world.trace('net', 'heal', '');
      network.heal();
    };
  }

  #side(random: Random, mode: PartitionMode, ids: readonly NodeId[]): readonly NodeId[] {
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
  #clog(random: Random): () => void {
    const { world, network, hosts, options } = this.#components;
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
    this.#tell('net', swizzle ? 'swizzle-clog' : 'clog', nodes.join());
    set(true);
    return () => set(false);
  }

  #stallDisk(random: Random): () => void {
    const { world, hosts } = this.#components;
    const host = random.pick([...hosts.values()]);
    world.count('disk stall');
    this.#tell(host.id, 'disk-stall', '');
    host.disk.stalled = true;
    return () => {
      host.disk.stalled = false;
    };
  }

  #troubleDisk(random: Random): () => void {
    const { world, hosts } = this.#components;
    const host = random.pick([...hosts.values()]);
    const trouble = random.pick(['full', 'failing', 'unreadable'] as const);
    world.count(`disk trouble ${trouble}`);
    this.#tell(host.id, 'disk-trouble', trouble);
    host.disk.trouble = trouble;
    return () => {
      world.trace(host.id, 'disk-well', '');
      host.disk.trouble = 'none';
    };
  }

  /**
   * The machine dies first, and is given up only when everybody must have noticed: what is decided before that, on the word
   * of a member that is no more, could cost the majority for good, and nothing can be done about it.
   */
  #loseDisk(random: Random): undefined {
    const { world, hosts, maySpare, lost } = this.#components;
    const able = [...hosts.values()].filter((host) => host.up && maySpare(host));
    if (able.length === 0) return;
    const host = random.pick(able);
    this.#tell(host.id, 'dies', '');
    host.crash({ power: true });
    world.after(UNNOTICED_MS, () => {
      if (this.#ended || host.process !== undefined || !maySpare(host)) {
        host.start();
        return;
      }
      world.count('disk lost');
      host.lose();
      lost(host);
    });
  }

  #crash(random: Random): (() => void) | undefined {
    const { world, hosts, options } = this.#components;
    const { crash } = options;
    const up = [...hosts.values()].filter((host) => host.process !== undefined);
    if (up.length === 0) return undefined;
    const all = random.chance(crash.all);
    const power = random.chance(crash.power);
    const orderly = !power && random.chance(crash.orderly);
    const moved = random.chance(crash.moved);
    world.count(all ? 'crash of all' : 'crash');
    world.count(power ? 'power failure' : orderly ? 'orderly end' : 'process killed');
    if (moved) world.count('new address');
    const leader = random.chance(crash.leader) ? this.#leader() : undefined;
    const victims = all ? up : [leader ?? random.pick(up)];
    this.#tell('sim', 'crash', victims.map(({ id }) => id).join());
    for (const host of victims) {
      if (orderly) host.stop();
      else host.crash({ power });
    }
    return () => {
      for (const host of shuffled(random, victims)) host.start({ moved });
    };
  }

  #pause(random: Random): (() => void) | undefined {
    const { world, hosts, options } = this.#components;
    const up = [...hosts.values()].filter((host) => host.up);
    if (up.length === 0) return undefined;
    const leader = random.chance(options.pause.leader) ? this.#leader() : undefined;
    const host = leader ?? random.pick(up);
    world.count('pause');
    this.#tell(host.id, 'pauses', '');
    host.pause();
    return () => host.resume();
  }

  #slowLoop(random: Random): () => void {
    const { world, hosts, options } = this.#components;
    const host = random.pick([...hosts.values()]);
    world.count('slow loop');
    this.#tell(host.id, 'slow-loop', '');
    host.slowDown(options.slowLoop.turnMs);
    return () => host.slowDown(0);
  }

  #clockJump(random: Random): () => void {
    const { world, hosts, options } = this.#components;
    const host = random.pick([...hosts.values()]);
    const errorMs = (random.float() * 2 - 1) * options.clockJump.mostMs;
    world.count('clock jump');
    this.#tell(host.id, 'clock-jump', `by=${Math.round(errorMs)}`);
    host.setWallError(errorMs);
    return () => host.setWallError(0);
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
