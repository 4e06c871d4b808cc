import fc from 'fast-check';
import t from 'tap';
import type { Consensus } from '../../src/consensus/types.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { ClusterFile } from '../../src/node/data-dir.ts';
import { acceptJoin, parseGrant } from '../../src/node/join-grant.ts';
import { putMember, readMembers } from '../../src/node/members.ts';
import { createLocalStore } from '../../src/store/local-store.ts';

const MEMBER = { peer: 'p1', node: 'node1', api: '10.0.0.1:6443', addresses: ['/ip4/10.0.0.1'] };
const GRANT = {
  clusterId: 'c',
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  caCertificatePem: 'cert',
  caKeyPem: 'key',
  tokenKeyPem: 'token',
  members: [MEMBER],
};
const CLUSTER: ClusterFile = { ...GRANT, node: 'node1', peer: 'p1', founder: true, settled: true };
const REQUEST = { ...MEMBER, peer: 'claimed', node: 'node2', version: '1' };

function cluster() {
  const added: string[] = [];
  const store = createLocalStore();
  const consensus = { addMember: async (peer: string) => void added.push(peer) };
  const components = {
    cluster: CLUSTER,
    store,
    consensus: consensus as unknown as Consensus,
    log: silentLogger,
  };
  return { added, store, components };
}

t.test('join: a grant is taken over as it was given', async (t) => {
  t.strictSame(parseGrant({ ...GRANT, further: 'field' }), GRANT);
});

t.test('join: a grant that lacks anything is refused with what it lacks', async (t) => {
  for (const name of Object.keys(GRANT)) {
    for (const bad of [undefined, null, 7, '', {}, 'x'.repeat(70_000)]) {
      t.throws(() => parseGrant({ ...GRANT, [name]: bad }), { code: 'not-admitted' }, name);
    }
  }
  for (const name of ['peer', 'node', 'api', 'addresses']) {
    const members = [{ ...MEMBER, [name]: undefined }];
    t.throws(() => parseGrant({ ...GRANT, members }), {
      code: 'not-admitted',
      message: new RegExp(`"${name}"`),
    });
  }
});

t.test('join: garbage from the network is an ordinary refusal, never a crash', async (t) => {
  const refusal = (error: unknown) =>
    error instanceof SkeinError && error.code === 'not-admitted' ? 'refused' : `crashed: ${error}`;
  const outcome = (work: () => unknown) => {
    try {
      work();
      return 'taken';
    } catch (error) {
      return refusal(error);
    }
  };
  fc.assert(
    fc.property(fc.anything(), (value) =>
      ['taken', 'refused'].includes(outcome(() => parseGrant(value))),
    ),
  );
  const { components, store } = cluster();
  await fc.assert(
    fc.asyncProperty(fc.anything(), async (value) => {
      const verdict = await acceptJoin(components, 'p9', value).then(() => 'taken', refusal);
      return verdict === 'refused';
    }),
  );
  t.strictSame(readMembers(store), [], 'and nobody was let in');
});

t.test(
  'join: who joins is known by the key of its connection, not by what it claims',
  async (t) => {
    const { added, store, components } = cluster();
    await putMember(store, MEMBER);
    const grant = await acceptJoin(components, 'p2', REQUEST);
    t.strictSame(added, ['p2']);
    t.strictSame(
      readMembers(store).map(({ peer, node }) => `${peer} ${node}`),
      ['p1 node1', 'p2 node2'],
    );
    t.strictSame(grant.members, readMembers(store));
    t.equal(grant.caKeyPem, 'key');
  },
);

t.test('join: asking again after a lost answer is no second member', async (t) => {
  const { added, store, components } = cluster();
  await acceptJoin(components, 'p2', REQUEST);
  await acceptJoin(components, 'p2', REQUEST);
  t.equal(readMembers(store).length, 1);
  t.strictSame(added, ['p2', 'p2'], 'the group takes it as done');
});

t.test('join: a name that is taken is refused with the remedy', async (t) => {
  const { added, components } = cluster();
  await acceptJoin(components, 'p2', REQUEST);
  await t.rejects(acceptJoin(components, 'p3', REQUEST), {
    code: 'not-admitted',
    message: /has a node "node2" already .*--node-name.*skein remove node2/,
  });
  t.strictSame(added, ['p2']);
});

t.test('join: a name that no node can have is refused', async (t) => {
  const { components, store } = cluster();
  for (const node of ['Node2', 'a/b', '../x', 'a..b', 'x'.repeat(64)]) {
    await t.rejects(acceptJoin(components, 'p2', { ...REQUEST, node }), {
      code: 'not-admitted',
      message: /RFC 1123/,
    });
  }
  t.strictSame(readMembers(store), []);
});

t.test('join: too many or too long addresses are refused', async (t) => {
  const { components } = cluster();
  for (const addresses of [Array(33).fill('/ip4/1.2.3.4'), ['x'.repeat(257)], [7], 'x']) {
    await t.rejects(acceptJoin(components, 'p2', { ...REQUEST, addresses }), {
      code: 'not-admitted',
    });
  }
});
