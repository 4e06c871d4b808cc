/**
 * What passes between a joining node and the member that lets it in: the request (who am I) and the grant
 * (the cluster's keys, settings and members). Both are checked field by field where they arrive.
 */

import type { Consensus } from '../consensus/types.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Store } from '../store/types.ts';
import type { ClusterFile, ClusterKeys, ClusterSettings, MemberRecord } from './data-dir.ts';
import { putMember, readMembers } from './members.ts';

export type JoinRequest = MemberRecord & { readonly version: string };

export type JoinGrant = ClusterSettings &
  ClusterKeys & { readonly members: readonly MemberRecord[] };

const TEXT_LENGTH_MAX = 64 * 1024;
const ADDRESSES_MAX = 32;
const NODE_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

function field(value: unknown, name: string): string {
  const found = (value as Record<string, unknown> | undefined)?.[name];
  if (typeof found === 'string' && found.length > 0 && found.length <= TEXT_LENGTH_MAX)
    return found;
  throw new SkeinError('not-admitted', `the join exchange lacks a valid "${name}"`);
}

function parseMember(value: unknown): MemberRecord {
  const addresses = (value as { addresses?: unknown }).addresses;
  const valid =
    Array.isArray(addresses) &&
    addresses.length <= ADDRESSES_MAX &&
    addresses.every((address) => typeof address === 'string' && address.length < 256);
  if (!valid) throw new SkeinError('not-admitted', 'the join exchange lacks valid "addresses"');
  return {
    peer: field(value, 'peer'),
    node: field(value, 'node'),
    api: field(value, 'api'),
    addresses,
  };
}

/** The grant as a joining node got it. Throws not-admitted when it is not one. */
export function parseGrant(value: unknown): JoinGrant {
  const members = (value as { members?: unknown } | undefined)?.members;
  if (!Array.isArray(members)) throw new SkeinError('not-admitted', 'the grant names no members');
  return {
    clusterId: field(value, 'clusterId'),
    clusterCidr: field(value, 'clusterCidr'),
    serviceCidr: field(value, 'serviceCidr'),
    caCertificatePem: field(value, 'caCertificatePem'),
    caKeyPem: field(value, 'caKeyPem'),
    tokenKeyPem: field(value, 'tokenKeyPem'),
    members: members.map(parseMember),
  };
}

export type AcceptComponents = {
  readonly cluster: ClusterFile;
  readonly store: Store;
  readonly consensus: Consensus;
  readonly log: Logger;
};

/**
 * Lets a node in whose token was proved: its record goes into the replicated state, so that everybody admits
 * it, and it becomes a learner of the log. Throws not-admitted with the remedy when its name is taken.
 */
export async function acceptJoin(
  components: AcceptComponents,
  from: string,
  request: unknown,
): Promise<JoinGrant> {
  const { cluster, store, consensus, log } = components;
  const record = { ...parseMember(request), peer: from };
  if (!NODE_NAME.test(record.node)) {
    throw new SkeinError('not-admitted', `"${record.node}" is no valid node name (RFC 1123)`);
  }
  const outcome = await putMember(store, record);
  if (outcome.kind === 'name-taken') {
    throw new SkeinError(
      'not-admitted',
      `the cluster has a node "${record.node}" already (${outcome.by.api}); choose another --node-name, or remove the old one first`,
    );
  }
  await consensus.addMember(from);
  log.info({ member: record.node, peer: from }, 'a node joined the cluster');
  const { clusterId, clusterCidr, serviceCidr, caCertificatePem, caKeyPem, tokenKeyPem } = cluster;
  return {
    clusterId,
    clusterCidr,
    serviceCidr,
    caCertificatePem,
    caKeyPem,
    tokenKeyPem,
    members: readMembers(store),
  };
}
