import t from 'tap';
import type { MemberRecord } from '../../src/node/data-dir.ts';
import {
  admissionOf,
  deleteMember,
  followMembers,
  memberOfNode,
  memberZones,
  putMember,
  readMembers,
} from '../../src/node/members.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import type { Store } from '../../src/store/types.ts';

const record = (peer: string, node: string, address = '10.0.0.1'): MemberRecord => ({
  peer,
  node,
  addresses: [`/ip4/${address}/tcp/7946`],
  api: `${address}:6443`,
});

/** A store whose first transaction finds that somebody else was faster. */
function overtaken(store: Store, other: () => Promise<unknown>): Store {
  let first = true;
  return {
    ...store,
    transact: async (...args) => {
      if (first) {
        first = false;
        await other();
      }
      return store.transact(...args);
    },
  };
}

t.test('members: a record is written once, and changed when the address changes', async (t) => {
  const store = createLocalStore();
  t.strictSame(await putMember(store, record('p1', 'node1')), { kind: 'written' });
  const revision = store.revision();
  t.strictSame(await putMember(store, record('p1', 'node1')), { kind: 'unchanged' });
  t.equal(store.revision(), revision, 'saying the same again costs no write');
  const moved = record('p1', 'node1', '10.0.0.9');
  t.strictSame(await putMember(store, moved), { kind: 'written' });
  t.strictSame(readMembers(store), [moved]);
  t.strictSame(memberOfNode(store, 'node1'), moved);
  t.equal(memberOfNode(store, 'node2'), undefined);
});

t.test('members: a node name belongs to one peer', async (t) => {
  const store = createLocalStore();
  await putMember(store, record('p1', 'node1'));
  t.strictSame(await putMember(store, record('p2', 'node1', '10.0.0.2')), {
    kind: 'name-taken',
    by: record('p1', 'node1'),
  });
  t.equal(readMembers(store).length, 1);
});

t.test('members: of two machines that want one name at the same time one gets it', async (t) => {
  const store = createLocalStore();
  const racing = overtaken(store, () => putMember(store, record('p1', 'node1')));
  const outcome = await putMember(racing, record('p2', 'node1', '10.0.0.2'));
  t.match(outcome, { kind: 'name-taken', by: { peer: 'p1' } });
  t.strictSame(
    readMembers(store).map(({ peer }) => peer),
    ['p1'],
  );
});

t.test('members: writers of one record follow each other', async (t) => {
  const store = createLocalStore();
  await putMember(store, record('p1', 'node1'));
  const racing = overtaken(store, () => putMember(store, record('p1', 'node1', '10.0.0.2')));
  t.strictSame(await putMember(racing, record('p1', 'node1', '10.0.0.3')), { kind: 'written' });
  t.strictSame(readMembers(store), [record('p1', 'node1', '10.0.0.3')]);
});

t.test('members: a node that was removed cannot write itself back', async (t) => {
  const store = createLocalStore();
  await putMember(store, record('p1', 'node1'));
  const moved = record('p1', 'node1', '10.0.0.2');
  // The request was under way: it had seen the record that goes.
  const racing = overtaken(store, () => deleteMember(store, 'p1'));
  t.strictSame(await putMember(racing, moved, { mustExist: true }), { kind: 'absent' });
  t.strictSame(readMembers(store), []);
  t.strictSame(await putMember(store, moved, { mustExist: true }), { kind: 'absent' });
});

t.test('members: a name is free again when its member is deleted, and not before', async (t) => {
  const store = createLocalStore();
  await putMember(store, record('p1', 'node1'));
  await deleteMember(store, 'p1');
  t.strictSame(readMembers(store), []);
  t.strictSame(await putMember(store, record('p2', 'node1')), { kind: 'written' });
  await deleteMember(store, 'p1');
  t.strictSame(
    readMembers(store).map(({ peer }) => peer),
    ['p2'],
    'deleting the old one again does not touch the new one',
  );
  t.match(await putMember(store, record('p3', 'node1')), { kind: 'name-taken' });
});

t.test('members: a deletion takes a record that changes meanwhile', async (t) => {
  const store = createLocalStore();
  await putMember(store, record('p1', 'node1'));
  const racing = overtaken(store, () => putMember(store, record('p1', 'node1', '10.0.0.2')));
  await deleteMember(racing, 'p1');
  t.strictSame(readMembers(store), []);
});

t.test('members: who follows sees every change, and none after the end', async (t) => {
  const store = createLocalStore();
  const seen: string[] = [];
  const end = followMembers(store, (members) =>
    seen.push(members.map(({ node }) => node).join(' ')),
  );
  await putMember(store, record('p1', 'node1'));
  await putMember(store, record('p2', 'node2'));
  await deleteMember(store, 'p1');
  end();
  await putMember(store, record('p3', 'node3'));
  t.strictSame(seen, ['', 'node1', 'node1 node2', 'node2']);
});

t.test(
  'members: the mesh admits everybody but ourselves, with further hints for all',
  async (t) => {
    const members = [record('p1', 'node1'), record('p2', 'node2', '10.0.0.2')];
    t.strictSame(
      [...admissionOf(members, 'p1', ['/dns4/x/tcp/1'])],
      [['p2', ['/ip4/10.0.0.2/tcp/7946', '/dns4/x/tcp/1']]],
    );
  },
);

t.test('members: the zones are what the labels of the Nodes say', async (t) => {
  const store = createLocalStore();
  t.equal(memberZones(store).size, 0, 'nothing is said before anybody is known');
  await putMember(store, record('p1', 'node1'));
  await putMember(store, record('p2', 'node2'));
  await putMember(store, record('p3', 'node3'));
  const node = (labels: object) => Buffer.from(JSON.stringify({ metadata: { labels } }));
  const put = (name: string, value: Buffer) =>
    ({ op: 'put', key: `/core/nodes//${name}`, value, revisionOffset: -1 }) as const;
  await store.transact({
    checks: [],
    operations: [
      put('node1', node({ 'topology.kubernetes.io/zone': 'north' })),
      put('node2', node({})),
    ],
  });
  t.strictSame(
    [...memberZones(store)],
    [
      ['p1', { zone: 'north' }],
      ['p2', { zone: undefined }],
      ['p3', { zone: undefined }],
    ],
  );
});
