/**
 * Who runs the group: adds members, promotes, demotes and removes them, one by one and jointly, hands
 * leadership over, replaces machines that are lost, and passes on the rumours of failure detectors. Some of it goes the
 * way a user's orders go; what no user can order is done to the core directly. Cares for no one's convenience.
 */

import type { ConfChangeStep, ConfState, NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Host } from '../machine/host.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential, shuffled } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

export type OperatorComponents = {
  readonly world: World;
  readonly random: Random;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly options: SwarmOptions;
  /** Starts a member that knows nothing yet. */
  readonly join: () => NodeId;
};

/** Most voters; more would only slow the run. */
const VOTERS_MAX = 7;
/** How often the removal of a lost machine is ordered. */
const REPLACE_MS = 500;

export class Operator {
  readonly #components: OperatorComponents;
  #ended = false;
  #grown = false;

  constructor(components: OperatorComponents) {
    this.#components = components;
  }

  start(): void {
    const { options } = this.#components;
    // A group that was founded by one has to be grown to its size.
    const founding = options.foundedAlone && options.founders > 1 ? 400 : Number.POSITIVE_INFINITY;
    this.#every(Math.min(options.changeEveryMs, founding), (leader) => this.#change(leader));
    this.#every(options.transferEveryMs, (leader) => this.#transfer(leader));
    this.#every(options.hintEveryMs, () => this.#hint());
    this.#every(REPLACE_MS, () => this.#replace());
  }

  end(): void {
    this.#ended = true;
  }

  /** A machine is lost: a new one takes its place. */
  lost(): void {
    const { hosts, options, join } = this.#components;
    if (hosts.size < options.membersMax + 2) join();
  }

  #every(meanMs: number, act: (leader: Host) => void): void {
    const random = this.#components.random.fork();
    if (meanMs === Number.POSITIVE_INFINITY) return;
    const { world, hosts } = this.#components;
    const next = () =>
      world.after(exponential(random, meanMs), () => {
        if (this.#ended) return;
        // Anybody who claims to lead, an outdated leader too.
        const claiming = [...hosts.values()].filter(
          (host) => host.up && host.process?.status.role === 'leader',
        );
        if (claiming.length > 0) act(random.pick(claiming));
        next();
      });
    next();
  }

  #change(leader: Host): void {
    const { world } = this.#components;
    const confState = leader.process?.status.confState;
    if (confState === undefined || this.#order(leader, confState)) return;
    // The dead still count; changing anything else now could cost the majority for good.
    if (this.#someLost()) return;
    const steps = this.#steps(confState);
    if (steps === undefined) return;
    leader.deed((core) => {
      const outcome = core.proposeConfChange({ steps, context: new Uint8Array(0) });
      const text = steps.map(({ kind, node }) => `${kind}:${node}`).join();
      const detail = outcome.kind === 'dropped' ? outcome.reason : '';
      world.trace(leader.id, 'change', `${text || 'leave joint'} ${outcome.kind} ${detail}`);
      world.count(`change ${outcome.kind}`);
      if (outcome.kind !== 'accepted') return;
      if (steps.length > 1) world.count('joint change');
      for (const { kind } of steps) world.count(kind);
    });
  }

  /** Sometimes the way a user would do it. False if it has to be done otherwise. */
  #order(leader: Host, { voters, learners }: ConfState): boolean {
    const { random, hosts, options, join, world } = this.#components;
    const grow = options.foundedAlone && !this.#grown;
    if (!grow && !random.chance(0.3)) return false;
    const asked = random.pick([...hosts.values()].filter((host) => host.up));
    if (hosts.size < (grow ? options.founders : options.membersMax)) {
      const node = join();
      this.#grown = hosts.size >= options.founders;
      this.#give(asked, 'add', node);
      world.count('order add');
      return true;
    }
    this.#grown = true;
    const members = [...voters, ...learners];
    if (grow || members.length < 3) return false;
    const node = random.pick(members.filter((member) => member !== leader.id));
    this.#give(asked, 'remove', node);
    world.count('order remove');
    return true;
  }

  #give(asked: Host, order: 'add' | 'remove', node: NodeId): void {
    const { world } = this.#components;
    const { services } = asked;
    if (services === undefined) return;
    world.trace(asked.id, 'order', `${order} ${node}`);
    const { consensus } = services;
    asked.process?.turn(() => {
      const given = order === 'add' ? consensus.addMember(node) : consensus.removeMember(node);
      given.then(
        () => world.trace(asked.id, 'order-done', `${order} ${node}`),
        (error: unknown) => world.trace(asked.id, 'order-failed', `${order} ${node} ${error}`),
      );
    });
  }

  #someLost(): boolean {
    return [...this.#components.hosts.values()].some(({ lost }) => lost);
  }

  /** Lost machines are removed, and their stand-ins added. */
  #replace(): void {
    const { random, hosts } = this.#components;
    const leader = [...hosts.values()].find((host) => host.process?.status.role === 'leader');
    const confState = leader?.process?.status.confState;
    if (confState === undefined || !this.#someLost()) return;
    const known = new Set([...confState.voters, ...confState.learners, ...confState.learnersNext]);
    const up = [...hosts.values()].filter((host) => host.up);
    const newcomer = up.find(({ id }) => !known.has(id));
    const gone = [...hosts.values()].find(({ id, lost }) => lost && known.has(id));
    if (up.length === 0) return;
    if (newcomer !== undefined) this.#give(random.pick(up), 'add', newcomer.id);
    else if (gone !== undefined) this.#give(random.pick(up), 'remove', gone.id);
  }

  /** Undefined: nothing sensible comes to mind now. */
  #steps(confState: ConfState): readonly ConfChangeStep[] | undefined {
    const { random, options, hosts } = this.#components;
    const { voters, learners, votersOutgoing } = confState;
    if (votersOutgoing.length > 0) return random.chance(0.3) ? [] : undefined;
    const grow = voters.length < options.founders && hosts.size < options.founders;
    const steps: ConfChangeStep[] = [];
    const count = random.chance(0.3) ? random.int(2, 4) : 1;
    const free = shuffled(random, [...voters, ...learners]);
    let voting = voters.length;
    for (let step = 0; step < count; step++) {
      const node = free.pop();
      const newcomer = hosts.size < options.membersMax && (grow || random.chance(0.4));
      if (newcomer) {
        const kind = random.chance(0.6) ? 'add-learner' : 'add-voter';
        if (kind === 'add-voter') voting++;
        steps.push({ kind, node: this.#components.join() });
      } else if (node === undefined) {
        break;
      } else if (learners.includes(node)) {
        const kind = voting < VOTERS_MAX && random.chance(0.8) ? 'add-voter' : 'remove';
        if (kind === 'add-voter') voting++;
        steps.push({ kind, node });
      } else if (voting > 1 && !grow && (voting > 3 || random.chance(0.3))) {
        voting--;
        steps.push({ kind: random.chance(0.3) ? 'add-learner' : 'remove', node });
      }
    }
    return steps.length === 0 ? undefined : steps;
  }

  #transfer(leader: Host): void {
    const { random, world, hosts } = this.#components;
    const target = random.pick([...hosts.keys()]);
    // A follower is asked as well: it passes the wish on.
    const asked = random.chance(0.3) ? random.pick([...hosts.values()]) : leader;
    world.count('transfer');
    world.trace(asked.id, 'hand-over', `target=${target}`);
    const consensus = asked.services?.consensus;
    if (consensus === undefined || random.chance(0.5)) {
      asked.deed((core) => core.transferLeadership(target));
      return;
    }
    asked.process?.turn(() => void consensus.transferLeadership(target).catch(() => {}));
  }

  /** A failure detector says something about somebody; it need not be true. */
  #hint(): void {
    const { random, world, hosts } = this.#components;
    const host = random.pick([...hosts.values()]);
    const peer = random.pick([...hosts.keys()]);
    const hint = random.pick(['forget', 'forget and campaign', 'campaign', 'unreachable'] as const);
    world.count(`hint ${hint}`);
    world.trace(host.id, 'hint', hint === 'unreachable' ? `${hint} ${peer}` : hint);
    host.deed((core) => {
      if (hint.startsWith('forget')) core.forgetLeader();
      if (hint.endsWith('campaign') && core.status().role !== 'leader') core.campaign();
      if (hint === 'unreachable') core.reportUnreachable(peer);
    });
  }
}
