/**
 * Which members have to be healthy for the group to live, and what may stand in its way all the same.
 * A configuration comes into force when it is applied, so a member goes by the one it knows, and the
 * next one may be in its log already: the chosen few must be a quorum in all of them.
 */

import { changeConfig } from '../../raft/config-change.ts';
import type { ConfState, NodeId } from '../../raft/types.ts';
import type { Random } from '../../src/lib/random.ts';
import { isQuorum, votersOf } from './checkers/quorums.ts';
import type { Host } from './machine/host.ts';
import type { Process } from './machine/process.ts';
import { shuffled } from './world/swarm.ts';
import type { World } from './world/world.ts';

/** Chooses a random quorum of `latest`, and whom it needs besides, among those that run. */
export function chooseCore(
  latest: ConfState,
  hosts: ReadonlyMap<NodeId, Host>,
  components: { readonly world: World; readonly random: Random },
): Set<NodeId> {
  const { world, random } = components;
  const core = new Set<NodeId>();
  const needed = [latest];
  for (;;) {
    const lacking = needed.find((config) => !isQuorum(config, core));
    if (lacking === undefined) break;
    const absent = [...votersOf(new Set(), lacking)].filter(
      (node) => !core.has(node) && hosts.get(node)?.lost === false,
    );
    const [next] = shuffled(random, absent);
    if (next === undefined) break;
    core.add(next);
    const process = hosts.get(next)?.process;
    if (process !== undefined) needed.push(...configsAhead(process, world));
  }
  return core;
}

/** The configuration a member goes by, and those that its log may bring. */
function configsAhead(process: Process, world: World): ConfState[] {
  const configs = [process.status.confState];
  for (let index = process.applied + 1; index <= process.log.lastIndex; index++) {
    const entry = process.log.entryAt(index);
    const current = configs[configs.length - 1];
    if (entry?.kind !== 'config' || current === undefined) continue;
    const outcome = changeConfig(current, world.product.decodeConfChange(entry.data));
    if (outcome.kind === 'changed') configs.push(outcome.confState);
  }
  // A joiner that knows nothing yet waits for a leader of others.
  return configs.filter(({ voters }) => voters.length > 0);
}

/**
 * The legitimate reasons for a healthy quorum to have no leader. Undefined if somebody can be elected.
 *
 * - A snapshot that was being stored when the core was chosen brought a configuration of others.
 * - Whoever has the newest log does not know yet that it was made a voter, nobody can tell, and it votes
 *   for nobody with an older log.
 */
export function whyNobodyIsElectable(processes: readonly Process[]): string | undefined {
  const all = new Set(processes.map(({ id }) => id));
  let complete = false;
  for (const candidate of processes) {
    const { confState } = candidate.status;
    if (!votersOf(new Set(), confState).has(candidate.id)) continue;
    complete ||= isQuorum(confState, all);
    const supporters = processes.filter((voter) => isUpToDate(candidate, voter));
    if (isQuorum(confState, new Set(supporters.map(({ id }) => id)))) return undefined;
  }
  return complete
    ? 'whoever has the newest log does not know that it is a voter'
    : 'a configuration came into force that needs others';
}

function isUpToDate(candidate: Process, voter: Process): boolean {
  const ours = candidate.log.lastIndex;
  const theirs = voter.log.lastIndex;
  const ourTerm = candidate.log.termAt(ours) ?? 0;
  const theirTerm = voter.log.termAt(theirs) ?? 0;
  return ourTerm > theirTerm || (ourTerm === theirTerm && ours >= theirs);
}
