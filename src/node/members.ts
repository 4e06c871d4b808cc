/**
 * Who belongs to the cluster: one record per member in the replicated state, under `/skein/members/`. Every
 * node follows them: they say whom the mesh admits, and at which addresses to look for them. A copy on
 * disk serves at the next start, before the replicated state is at hand.
 */

import type { Logger } from '../lib/logger.ts';
import { internalKey } from '../store/keys.ts';
import type { Check, Store, StoredObject, StoreReader } from '../store/types.ts';
import type { MemberRecord } from './data-dir.ts';

const AREA = 'members';
export const MEMBERS_PREFIX = '/skein/members/';

const memberKey = (peer: string): string => internalKey(AREA, peer);

const toRecord = (object: StoredObject): MemberRecord => object.object as MemberRecord;

/** All members, by peer id. */
export function readMembers(store: StoreReader): readonly MemberRecord[] {
  const listed = store.list(MEMBERS_PREFIX);
  return listed.kind === 'listed' ? listed.items.map(toRecord) : [];
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
  return a.node === b.node && a.api === b.api && a.addresses.join(' ') === b.addresses.join(' ');
}

export type PutMemberOutcome =
  | { readonly kind: 'written' | 'unchanged' }
  /** Another peer has that node name. */
  | { readonly kind: 'name-taken'; readonly by: MemberRecord };

/**
 * Writes a member's record unless it says the same already. A node name belongs to one peer: the check is
 * part of the transaction, through a second key that holds the name.
 */
export async function putMember(store: Store, record: MemberRecord): Promise<PutMemberOutcome> {
  for (;;) {
    const key = memberKey(record.peer);
    const nameKey = internalKey('member-names', record.node);
    const existing = store.get(key);
    const holder = store.get(nameKey);
    const holderPeer = (holder?.object as { peer: string } | undefined)?.peer;
    if (holderPeer !== undefined && holderPeer !== record.peer) {
      const by = store.get(memberKey(holderPeer));
      if (by) return { kind: 'name-taken', by: toRecord(by) };
    }
    if (existing && holderPeer === record.peer && sameRecord(toRecord(existing), record)) {
      return { kind: 'unchanged' };
    }
    const result = await store.transact({
      checks: [checkOf(key, existing), checkOf(nameKey, holder)],
      operations: [put(key, record), put(nameKey, { peer: record.peer })],
    });
    if (result.kind === 'committed') return { kind: 'written' };
  }
}

/** Forgets a member: its connections are cut everywhere as soon as the change is applied. */
export async function deleteMember(store: Store, record: MemberRecord): Promise<void> {
  await store.transact({
    checks: [],
    operations: [
      { op: 'delete', key: memberKey(record.peer) },
      { op: 'delete', key: internalKey('member-names', record.node) },
    ],
  });
}

const checkOf = (key: string, found: StoredObject | undefined): Check =>
  found ? { key, is: 'at', revision: found.revision } : { key, is: 'absent' };

const put = (key: string, value: object) =>
  ({ op: 'put', key, value: Buffer.from(JSON.stringify(value)), revisionOffset: -1 }) as const;

/** What the mesh needs: peer ids with address hints, ourselves left out. */
export function admissionOf(
  members: readonly MemberRecord[],
  self: string,
): ReadonlyMap<string, readonly string[]> {
  return new Map(
    members.filter(({ peer }) => peer !== self).map(({ peer, addresses }) => [peer, addresses]),
  );
}

/** Keeps our own record true; a node whose address changed says so by itself. */
export async function announceSelf(store: Store, record: MemberRecord, log: Logger): Promise<void> {
  const outcome = await putMember(store, record);
  if (outcome.kind === 'written') {
    log.info({ addresses: record.addresses }, 'the cluster knows the addresses of this node');
  }
}
