/**
 * The second phase: a quorum is healed, the rest has failed for good. Within bounded time there must be a
 * leader, new writes and reads must be answered, and all members of the core must be alike.
 */

import type { NodeId } from '../../raft/types.ts';
import type { Random } from '../../src/lib/random.ts';
import type { Checkers } from './checkers/checkers.ts';
import { parseConfig } from './checkers/history.ts';
import type { Client } from './clients/client.ts';
import { chooseCore, whyNobodyIsElectable } from './core-group.ts';
import { leaderOf, UNNOTICED_MS } from './faults/nemesis.ts';
import type { Host } from './machine/host.ts';
import type { SimNetwork } from './machine/network.ts';
import type { Process } from './machine/process.ts';
import type { SwarmOptions } from './world/swarm.ts';
import { shuffled } from './world/swarm.ts';
import type { World } from './world/world.ts';

export type LivenessComponents = {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly checkers: Checkers;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly clients: readonly Client[];
  readonly options: SwarmOptions;
  /** Runs the world until `done` or for `limitMs`; tells if it was done. */
  readonly runUntil: (done: () => boolean, limitMs: number) => Promise<boolean>;
};

/** Election timeouts that every step may take, and time for each entry that has to be caught up. */
const ELECTIONS_MAX = 60;
const ENTRY_MS = 60;
/** Longest that a request or a transfer of the product waits before it tries another way. */
const WAITS_MS = 20_000;
/** Longest start of a process. */
const STAND_STILL_MS = 5_000;

/** Ends the run if the group does not come back to life. */
export async function requireLiveness(components: LivenessComponents): Promise<void> {
  const { world, network, hosts, checkers } = components;
  world.calm = true;
  await standStill(components);
  const latest = parseConfig(checkers.history.lastConfig.what);
  const core = chooseCore(latest, hosts, components);
  for (const host of hosts.values()) {
    if (core.has(host.id)) continue;
    host.crash();
    host.frozen = true;
  }
  network.calmDown(core);
  world.trace('sim', 'liveness', `core=${[...core].join()}`);
  await requireService(components, core);
  await settle(components, core);
  // Power fails everywhere at once: whatever was acknowledged is on the disks.
  world.trace('sim', 'blackout', '');
  world.count('blackout');
  for (const node of core) hosts.get(node)?.crash({ power: true });
  for (const node of shuffled(components.random, [...core])) hosts.get(node)?.start();
  for (const client of components.clients) client.start();
  await requireService(components, core);
  await settle(components, core);
}

/** Everybody runs and nobody hears anybody, so that what they go by and have in their logs can be looked at. */
async function standStill({ world, hosts, network, runUntil }: LivenessComponents): Promise<void> {
  world.trace('sim', 'stand-still', '');
  network.calmDown(new Set());
  for (const host of hosts.values()) {
    host.disk.stalled = false;
    host.disk.trouble = 'none';
    host.forgetDeeds();
    host.start();
    host.slowDown(0);
    host.resume();
  }
  const running = () =>
    [...hosts.values()].every((host) => host.lost || host.process !== undefined);
  await runUntil(running, STAND_STILL_MS);
  // Nobody takes anybody for present any more, or leads on the strength of it.
  await runUntil(() => false, UNNOTICED_MS);
  const leads = (host: Host) => {
    const status = host.process?.status;
    return status?.role === 'leader' && status.confState.voters.length > 1;
  };
  await runUntil(() => ![...hosts.values()].some(leads), WAITS_MS);
  // Who was about to end when the calm came has ended by now.
  for (const host of hosts.values()) host.start();
  await runUntil(running, STAND_STILL_MS);
}

/** New writes and reads are answered. */
async function requireService(components: LivenessComponents, core: Set<NodeId>): Promise<void> {
  const { checkers, runUntil, world } = components;
  const { writes, reads } = checkers.clients;
  const served = () => checkers.clients.writes > writes && checkers.clients.reads > reads;
  while (!(await runUntil(served, limitOf(components)))) {
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
async function settle(components: LivenessComponents, core: Set<NodeId>): Promise<void> {
  const { clients, checkers, runUntil } = components;
  for (const client of clients) client.stop();
  if (!(await runUntil(() => clients.every((client) => client.idle), limitOf(components)))) {
    fail(components, core, 'every request of a client is answered');
  }
  const alike = () => whatDiffers(components, core) === undefined;
  if (!(await runUntil(alike, limitOf(components)))) {
    fail(components, core, `members converge: ${whatDiffers(components, core)}`);
  }
  for (const process of processesOf(components, core)) {
    const { applied } = process;
    const difference = checkers.history.difference(process.state, applied);
    if (difference === undefined) continue;
    const facts = { member: process.id, difference, applied };
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
  const { floor } = components.checkers.clients;
  if (leader.state.revision() < floor) return 'the leader lacks what was answered';
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
  const left = [...hosts.values()].filter((host) => !core.has(host.id) && !host.lost);
  const [next] = shuffled(random, left);
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
  const electionMs = options.electionTicks * options.tickMs;
  const lengths = [...hosts.values()].map((host) => host.process?.log.lastIndex ?? 0);
  return electionMs * ELECTIONS_MAX + Math.max(...lengths) * ENTRY_MS + WAITS_MS;
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
