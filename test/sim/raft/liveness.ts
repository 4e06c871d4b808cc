/**
 * The second phase: a quorum is healed, the rest has failed for good. Within bounded time there must be a
 * leader, new writes and reads must be answered, and all members of the core must be alike.
 */

import type { ConfState, NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Checkers } from './checkers/checkers.ts';
import type { Client } from './clients.ts';
import { healCore, whyNobodyIsElectable } from './core-group.ts';
import type { Host } from './host.ts';
import { leaderOf, shuffled } from './nemesis.ts';
import type { SimNetwork } from './network.ts';
import type { Process } from './process.ts';
import type { SwarmOptions } from './swarm.ts';
import type { World } from './world.ts';

export type LivenessComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly checkers: Checkers;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly clients: readonly Client[];
  readonly options: SwarmOptions;
  /** Runs the world until `done` or for `limitMs`; tells if it was done. */
  readonly runUntil: (done: () => boolean, limitMs: number) => boolean;
};

/** Election timeouts that every step may take, and time for each entry that has to be caught up. */
const ELECTIONS_MAX = 60;
const ENTRY_MS = 60;

/** Throws CheckFailure if the group does not come back to life. */
export function requireLiveness(components: LivenessComponents): void {
  const { world, network, hosts, checkers } = components;
  const latest = parseConfig(checkers.history.lastConfig.what);
  world.calm = true;
  const core = healCore(latest, hosts, components);
  network.calmDown(core);
  for (const host of hosts.values()) {
    host.disk.stalled = false;
    if (core.has(host.id)) continue;
    host.crash();
    host.frozen = true;
  }
  world.trace('sim', 'liveness', `core=${[...core].join()}`);
  requireService(components, core);
  settle(components, core);
  // Power fails everywhere at once: whatever was acknowledged is on the disks.
  world.trace('sim', 'blackout', '');
  world.count('blackout');
  for (const node of core) hosts.get(node)?.crash();
  for (const node of shuffled(components.random, [...core])) hosts.get(node)?.start();
  for (const client of components.clients) client.start();
  requireService(components, core);
  settle(components, core);
}

/** New writes and reads are answered. */
function requireService(components: LivenessComponents, core: Set<NodeId>): void {
  const { checkers, runUntil, world } = components;
  const { writes, reads } = checkers.clients;
  const served = () => checkers.clients.writes > writes && checkers.clients.reads > reads;
  while (!runUntil(served, limitOf(components))) {
    const reason = whyNobodyIsElectable(processesOf(components, core));
    const led = leaderOf(components.hosts.values()) !== undefined;
    if (reason !== undefined && !led && widen(components, core)) {
      world.count(`liveness widened: ${reason}`);
      world.trace('sim', 'widen', `core=${[...core].join()} reason=${reason}`);
      continue;
    }
    fail(components, core, 'a healthy quorum elects a leader and serves writes and reads');
    return;
  }
}

/** Clients end, and everybody has the same. */
function settle(components: LivenessComponents, core: Set<NodeId>): void {
  const { clients, checkers, runUntil } = components;
  for (const client of clients) client.stop();
  if (!runUntil(() => clients.every((client) => client.idle), limitOf(components))) {
    fail(components, core, 'every request of a client is answered');
  }
  const alike = () => whatDiffers(components, core) === undefined;
  if (!runUntil(alike, limitOf(components))) {
    fail(components, core, `members converge: ${whatDiffers(components, core)}`);
  }
  for (const process of processesOf(components, core)) {
    const difference = checkers.history.difference(process.machine.image());
    if (difference === undefined) continue;
    const facts = { member: process.id, difference, applied: process.applied };
    checkers.fail('writes survive', 'the state is that of the committed history', facts);
  }
}

function whatDiffers(components: LivenessComponents, core: Set<NodeId>): string | undefined {
  const leader = leaderOf(components.hosts.values())?.process;
  if (leader === undefined) return 'there is no leader';
  const { confState, commit, lastIndex, term, transferTarget } = leader.status;
  if (confState.votersOutgoing.length > 0) return 'the group is in a joint configuration';
  if (transferTarget !== undefined) return 'a hand-over does not end';
  if (commit !== lastIndex) return `the leader committed ${commit} of ${lastIndex}`;
  if (commit < components.checkers.clients.floor) return 'the leader lacks what was answered';
  for (const process of processesOf(components, core)) {
    const { id, applied } = process;
    if (!confState.voters.includes(id) && !confState.learners.includes(id)) continue;
    if (applied !== commit) return `${id} applied ${applied} of ${commit}`;
    if (process.status.term !== term) return `${id} is in term ${process.status.term} of ${term}`;
    if (process.status.leader !== leader.id) return `${id} does not follow ${leader.id}`;
  }
  return undefined;
}

/** Heals one more member. False if there is none. */
function widen({ hosts, network, random }: LivenessComponents, core: Set<NodeId>): boolean {
  const [next] = shuffled(
    random,
    [...hosts.values()].filter((host) => !core.has(host.id)),
  );
  if (next === undefined) return false;
  core.add(next.id);
  next.frozen = false;
  next.start();
  network.calmDown(core);
  return true;
}

function processesOf({ hosts }: LivenessComponents, core: ReadonlySet<NodeId>): Process[] {
  const processes: Process[] = [];
  for (const node of core) {
    const process = hosts.get(node)?.process;
    if (process !== undefined) processes.push(process);
  }
  return processes;
}

function limitOf({ options, hosts }: LivenessComponents): number {
  const electionMs = (options.raft.electionTicks ?? 10) * options.tickMs;
  const lengths = [...hosts.values()].map((host) => host.process?.log.lastIndex ?? 0);
  return electionMs * ELECTIONS_MAX + Math.max(...lengths) * ENTRY_MS;
}

function fail(components: LivenessComponents, core: ReadonlySet<NodeId>, law: string): void {
  const members = processesOf(components, core).map((process) => {
    const { role, term, leader, commit, applied, lastIndex, confState } = process.status;
    const voters = `${confState.voters.join()}|${confState.votersOutgoing.join()}`;
    return `${process.id}: ${role} term=${term} leader=${leader} commit=${commit} applied=${applied} last=${lastIndex} voters=${voters}`;
  });
  const limitMs = limitOf(components);
  components.checkers.fail('liveness', law, { limitMs, members: members.join('; ') });
}

function parseConfig(text: string): ConfState {
  const [voters, votersOutgoing, learners, learnersNext, autoLeave] = JSON.parse(text);
  return { voters, votersOutgoing, learners, learnersNext, autoLeave };
}
