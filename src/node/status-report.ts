/** What `skein status` shows: the cluster as this node sees it. */

import type { MemberStatus, NodeStatusReport } from '../cli/status-types.ts';
import type { MemberLevels } from '../consensus/level-keeper.ts';
import { votersTarget } from '../consensus/membership.ts';
import type { Node } from '../resources/generated/kinds.ts';
import { objectKey } from '../store/keys.ts';
import type { Foundation } from './foundation.ts';
import { readMembers } from './members.ts';
import type { NodeConfig } from './settings.ts';

export type NodeHealth = {
  readonly check: string;
  /** Undefined when well, otherwise why not. */
  readonly why: string | undefined;
};

/** The report of this moment. */
export function reportStatus(
  { mesh, consensus, store, cluster, quota }: Foundation,
  config: NodeConfig,
  options: { readonly version: string; readonly health: readonly NodeHealth[] },
): NodeStatusReport {
  const status = consensus.status();
  const { level, members: understood } = consensus.levels();
  const { objects, bytes } = store.usage();
  const members = readMembers(store);
  const known = members.length > 0 ? members : cluster.members;
  const connected = new Set(
    mesh.peers().flatMap(({ peer, connected: open }) => (open ? [peer] : [])),
  );
  const { voters, votersOutgoing, learners } = status.confState;
  const voting = new Set([...voters, ...votersOutgoing]);
  const reachable = voters.filter((peer) => peer === mesh.self || connected.has(peer)).length;
  const leader = members.find(({ peer }) => peer === status.leader);
  return {
    node: config.nodeName,
    peer: mesh.self,
    version: options.version,
    clusterId: cluster.clusterId,
    role: status.role,
    leader:
      status.leader === undefined
        ? undefined
        : { node: leader?.node ?? status.leader, peer: status.leader },
    term: status.term,
    commit: status.commit,
    appliedIndex: status.applied,
    revision: store.revision(),
    level,
    store: {
      objects,
      bytes,
      quotaBytes: quota.quotaBytes,
      oldestRevision: store.oldestRevision(),
    },
    votersWanted: votersTarget(voters.length + learners.length, config.votersMax),
    quorum: status.leader !== undefined && reachable * 2 > voters.length,
    members: known.map((member) => ({
      node: member.node,
      peer: member.peer,
      role: voting.has(member.peer)
        ? 'voter'
        : learners.includes(member.peer)
          ? 'learner'
          : 'member',
      leader: member.peer === status.leader,
      connected: member.peer === mesh.self || connected.has(member.peer),
      addresses: member.addresses,
      ...levelsOf(understood.get(member.peer)),
      ready: readiness(
        store.get(objectKey({ group: '', plural: 'nodes', name: member.node }))?.object,
      ),
    })),
    apiAddress: `https://${config.advertiseAddress}:${config.apiPort}`,
    health: options.health.map(({ check, why }) => ({
      check,
      ok: why === undefined,
      ...(why === undefined ? {} : { detail: why }),
    })),
  };
}

/** Who has not answered since it connected, or is away, is left out: it may come back as another version. */
function levelsOf(known: MemberLevels | undefined): Pick<MemberStatus, 'levels' | 'version'> {
  if (known === undefined) return {};
  const { min, max, product } = known;
  return { levels: { min, max }, ...(product === '' ? {} : { version: product }) };
}

function readiness(node: unknown): 'True' | 'False' | 'Unknown' {
  const conditions = (node as Node | undefined)?.status?.conditions ?? [];
  const status = conditions.find(({ type }) => type === 'Ready')?.status;
  return status === 'True' || status === 'False' ? status : 'Unknown';
}
