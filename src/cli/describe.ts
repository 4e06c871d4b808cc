/** What commands print for people. */

import type { ActorInfo } from '../actors/types.ts';
import type { NodeStatusReport, SecretsStatus } from './status-types.ts';
import { formatTable } from './table.ts';

/** `skein status`. */
export function describeStatus(status: NodeStatusReport): string {
  const rows = status.members.map((member) => [
    member.node,
    member.role,
    member.leader ? 'leader' : '',
    member.connected ? 'yes' : 'no',
    member.ready,
    // Its end is the peer, which has a column of its own.
    member.addresses[0]?.replace(/\/p2p\/[^/]+$/, ''),
    member.peer,
  ]);
  const health = status.health.map(
    ({ check, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'} ${check}${detail ? `: ${detail}` : ''}`,
  );
  return [
    `node      ${status.node} (${status.role})`,
    `cluster   ${status.clusterId}`,
    `leader    ${status.leader?.node ?? 'none'}${status.quorum ? '' : ' (no quorum in reach)'}`,
    `term      ${status.term}`,
    `revision  ${status.revision} (log index ${status.appliedIndex} applied, ${status.commit} committed)`,
    `store     ${describeStore(status.store)}`,
    `api       ${status.apiAddress}`,
    `version   ${status.version}`,
    '',
    formatTable(['NODE', 'ROLE', 'LEADS', 'CONNECTED', 'READY', 'ADDRESS', 'PEER'], rows),
    '',
    ...health,
  ].join('\n');
}

function describeStore({ objects, bytes, quotaBytes, oldestRevision }: NodeStatusReport['store']) {
  const mib = (value: number) => (value / 1024 ** 2).toFixed(1);
  return `${objects} objects, ${mib(bytes)} of ${mib(quotaBytes)} MiB (changes since revision ${oldestRevision} are at hand)`;
}

/** `skein actors`. */
export function describeActors(tree: ActorInfo): string {
  const rows: (string | number | undefined)[][] = [];
  const visit = (actor: ActorInfo, depth: number): void => {
    const name = depth === 0 ? actor.path : (actor.path.split('/').at(-1) ?? actor.path);
    rows.push([
      `${'  '.repeat(depth)}${name}`,
      `${actor.depth}/${actor.capacity}`,
      actor.processed,
      actor.rate.toFixed(1),
      actor.restarts,
      actor.lastFailure ?? '',
    ]);
    for (const child of actor.children) visit(child, depth + 1);
  };
  visit(tree, 0);
  return formatTable(
    ['ACTOR', 'MAILBOX', 'PROCESSED', 'PER SECOND', 'RESTARTS', 'LAST FAILURE'],
    rows,
  );
}

/** `skein secrets status`. */
export function describeSecrets(status: SecretsStatus): string {
  const { encrypted, kinds, dataKey, clusterKey, since, position, complete, nodes } = status;
  const done = nodes.filter(({ state }) => state === 'done').length;
  const progress = complete
    ? 'complete: no node holds anything from before'
    : `${done} of ${nodes.length} nodes hold nothing from before`;
  return [
    `encryption   ${encrypted ? 'on (AES-256-GCM)' : 'off'}`,
    ...(encrypted
      ? [`kinds        ${kinds.join(', ')}; tokens to join`, `data key     ${dataKey}`]
      : []),
    `cluster key  ${clusterKey}`,
    ...(since === undefined
      ? []
      : [`since        ${since}, log position ${position}`, `change       ${progress}`]),
    '',
    formatTable(
      ['NODE', 'STATE', 'DETAIL'],
      nodes.map(({ node, state, detail }) => [node, state, detail ?? '']),
    ),
  ].join('\n');
}
