/**
 * Who runs the group: adds members, promotes, demotes and removes them, one by one and jointly, hands
 * leadership over, and passes on the rumours of failure detectors. Cares for no one's convenience.
 */

import type { ConfChangeStep, ConfState, NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Host } from './host.ts';
import { shuffled } from './nemesis.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';

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

export class Operator {
  readonly #components: OperatorComponents;
  #ended = false;

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
  }

  end(): void {
    this.#ended = true;
  }

  #every(meanMs: number, act: (leader: Host) => void): void {
    if (meanMs === Number.POSITIVE_INFINITY) return;
    const { world, random, hosts } = this.#components;
    world.after(exponential(random, meanMs), () => {
      if (this.#ended) return;
      // Anybody who claims to lead, an outdated leader too.
      const claiming = [...hosts.values()].filter(
        (host) => host.up && host.process?.status.role === 'leader',
      );
      if (claiming.length > 0) act(random.pick(claiming));
      this.#every(meanMs, act);
    });
  }

  #change(leader: Host): void {
    const { world } = this.#components;
    leader.turn((process) => {
      const { confState } = process.status;
      const steps = this.#steps(confState);
      if (steps === undefined) return;
      const outcome = process.raft.proposeConfChange({ steps, context: new Uint8Array(0) });
      const text = steps.map(({ kind, node }) => `${kind}:${node}`).join();
      const detail = outcome.kind === 'dropped' ? outcome.reason : '';
      world.trace(leader.id, 'change', `${text || 'leave joint'} ${outcome.kind} ${detail}`);
      world.count(`change ${outcome.kind}`);
      if (outcome.kind !== 'accepted') return;
      if (steps.length > 1) world.count('joint change');
      for (const { kind } of steps) world.count(kind);
    });
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
    asked.turn((process) => process.raft.transferLeadership(target));
  }

  /** A failure detector says something about somebody; it need not be true. */
  #hint(): void {
    const { random, world, hosts } = this.#components;
    const host = random.pick([...hosts.values()]);
    const peer = random.pick([...hosts.keys()]);
    const hint = random.pick(['forget', 'forget and campaign', 'campaign', 'unreachable'] as const);
    world.count(`hint ${hint}`);
    world.trace(host.id, 'hint', hint === 'unreachable' ? `${hint} ${peer}` : hint);
    host.turn(({ raft }) => {
      if (hint.startsWith('forget')) raft.forgetLeader();
      if (hint.endsWith('campaign') && raft.status().role !== 'leader') raft.campaign();
      if (hint === 'unreachable') raft.reportUnreachable(peer);
    });
  }
}
