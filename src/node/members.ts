/**
 * Who belongs to the cluster: one record per member in the replicated state, under `/skein/members/`. Every
 * node follows them: they say whom the mesh admits, and at which addresses to look for them. A copy on
 * disk serves at the next start, before the replicated state is at hand.
 */

import { SkeinError } from '../lib/errors.ts';
import { internalKey, objectKey } from '../store/keys.ts';
import type { Check, Store, StoredObject, StoreReader } from '../store/types.ts';
import type { MemberRecord } from './data-dir.ts';

const AREA = 'members';
const NAMES_AREA = 'member-names';
export const MEMBERS_PREFIX = '/skein/members/';
/** Which peer has a node's name. */
export const MEMBER_NAMES_PREFIX = '/skein/member-names/';
/** Conflicts in a row before a write is given up: each means that somebody else's write went through. */
const CONFLICTS_MAX = 100;

export const memberKey = (peer: string): string => internalKey(AREA, peer);
export const memberNameKey = (node: string): string => internalKey(NAMES_AREA, node);

const toRecord = (object: StoredObject): MemberRecord => object.object as MemberRecord;

/** All members, by peer id. */
export function readMembers(store: StoreReader): readonly MemberRecord[] {
  const listed = store.list(MEMBERS_PREFIX);
  return listed.kind === 'listed' ? listed.items.map(toRecord) : [];
}

/** The label of a Node that says which machines it is likely to fail with. */
export const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** All members by peer id, with the zone that their Nodes are labelled with. */
export function memberZones(store: StoreReader): ReadonlyMap<string, { zone: string | undefined }> {
  return new Map(
    readMembers(store).map(({ peer, node }) => {
      const found = store.get(objectKey({ group: '', plural: 'nodes', name: node }));
      const { metadata } = (found?.object ?? {}) as {
        metadata?: { labels?: Readonly<Record<string, string>> };
      };
      return [peer, { zone: metadata?.labels?.[ZONE_LABEL] }];
    }),
  );
}

/** The member that is `peer`. */
export function memberOfPeer(store: StoreReader, peer: string): MemberRecord | undefined {
  const found = store.get(memberKey(peer));
  return found && toRecord(found);
}

/** The member that runs node `name`. */
export function memberOfNode(store: StoreReader, name: string): MemberRecord | undefined {
  return readMembers(store).find(({ node }) => node === name);
}

/** Calls `listener` with all members now and after every change. Returns how to end that. */
export function followMembers(
  store: StoreReader,
  listener: (members: readonly MemberRecord[]) => void,
): () => void {
  const started = store.watch(MEMBERS_PREFIX, undefined, () => listener(readMembers(store)));
  listener(readMembers(store));
  return () => {
    if (started.kind === 'watching') started.watch.close();
  };
}

/** True if both say the same. */
function sameRecord(a: MemberRecord, b: MemberRecord): boolean {
  const place = a.node === b.node && a.api === b.api;
  const life = a.start === b.start && a.incarnation === b.incarnation;
  return place && life && a.addresses.join(' ') === b.addresses.join(' ');
}

export type PutMemberOptions = {
  /**
   * Only change a record that is there. A node that was removed must not write itself back with a request
   * that was under way. Default false.
   */
  readonly mustExist?: boolean;
};

export type PutMemberOutcome =
  | { readonly kind: 'written' | 'unchanged' }
  /** Another peer has that node name. */
  | { readonly kind: 'name-taken'; readonly by: MemberRecord }
  /** It must exist, and does not. */
  | { readonly kind: 'absent' };

/**
 * Writes a member's record unless it says the same already. A node name belongs to one peer: the check is
 * part of the transaction, through a second key that holds the name.
 */
export async function putMember(
  store: Store,
  record: MemberRecord,
  { mustExist = false }: PutMemberOptions = {},
): Promise<PutMemberOutcome> {
  for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
    const key = memberKey(record.peer);
    const existing = store.get(key);
    if (mustExist && !existing) return { kind: 'absent' };
    const holder = store.get(memberNameKey(record.node));
    const holderPeer = (holder?.object as { peer: string } | undefined)?.peer;
    if (holderPeer !== undefined && holderPeer !== record.peer) {
      const by = store.get(memberKey(holderPeer));
      if (by) return { kind: 'name-taken', by: toRecord(by) };
    }
    if (existing && holderPeer === record.peer && sameRecord(toRecord(existing), record)) {
      return { kind: 'unchanged' };
    }
    const former = existing && toRecord(existing).node;
    const renamed = former !== undefined && former !== record.node;
    const result = await store.transact({
      checks: [checkOf(key, existing), checkOf(memberNameKey(record.node), holder)],
      operations: [
        put(key, record),
        put(memberNameKey(record.node), { peer: record.peer }),
        ...(renamed ? [{ op: 'delete', key: memberNameKey(former) } as const] : []),
      ],
    });
    if (result.kind === 'committed') return { kind: 'written' };
  }
  throw new SkeinError(
    'overloaded',
    `the record of ${record.node} changes too fast to be written`,
    {
      retryable: true,
    },
  );
}

/**
 * Forgets a member and frees its node's name: its connections are cut everywhere as soon as the change is
 * applied. A record that changed meanwhile (the node announced an address) goes as well; one that is gone is no error.
 */
export async function deleteMember(store: Store, peer: string): Promise<void> {
  for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
    const key = memberKey(peer);
    const existing = store.get(key);
    if (!existing) return;
    const name = memberNameKey(toRecord(existing).node);
    const holder = store.get(name);
    // The name may have gone to a successor already.
    const ours = (holder?.object as { peer: string } | undefined)?.peer === peer;
    const result = await store.transact({
      checks: [checkOf(key, existing), checkOf(name, holder)],
      operations: [{ op: 'delete', key }, ...(ours ? [{ op: 'delete', key: name } as const] : [])],
    });
    if (result.kind === 'committed') return;
  }
  throw new SkeinError('overloaded', `the record of ${peer} changes too fast to be deleted`, {
    retryable: true,
  });
}

const checkOf = (key: string, found: StoredObject | undefined): Check =>
  found ? { key, is: 'at', revision: found.revision } : { key, is: 'absent' };

const put = (key: string, value: object) =>
  ({ op: 'put', key, value: Buffer.from(JSON.stringify(value)), revisionOffset: -1 }) as const;

/** What the mesh needs: peer ids with address hints, ourselves left out. `further` hints go to everybody. */
export function admissionOf(
  members: readonly MemberRecord[],
  self: string,
  further: readonly string[] = [],
): ReadonlyMap<string, readonly string[]> {
  const others = members.filter(({ peer }) => peer !== self);
  return new Map(others.map(({ peer, addresses }) => [peer, [...addresses, ...further]]));
}
