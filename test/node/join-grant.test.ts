import fc from 'fast-check';
import t from 'tap';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { ClusterFile } from '../../src/node/data-dir.ts';
import { acceptJoin, parseGrant } from '../../src/node/join-grant.ts';
import { deleteMember, memberOfNode, putMember, readMembers } from '../../src/node/members.ts';
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
const REQUEST = {
  ...MEMBER,
  peer: 'claimed',
  node: 'node2',
  version: '1',
  levels: { min: 1, max: 2 },
};

function cluster() {
  const added: string[] = [];
  const store = createLocalStore();
  const alive = new Set<string>();
  const spared = { fault: undefined as SkeinError | undefined };
  const components = {
    cluster: CLUSTER,
    store,
    consensus: {
      addMember: async (peer: string) => void added.push(peer),
      levels: () => ({ level: 2, members: new Map() }),
    },
    log: silentLogger,
    isAlive: async (peer: string) => alive.has(peer),
    remove: async (node: string) => {
      if (spared.fault !== undefined) throw spared.fault;
      await deleteMember(store, memberOfNode(store, node)?.peer ?? '');
    },
  };
  return { added, store, components, alive, spared };
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
  const { added, components, alive, spared } = cluster();
  await acceptJoin(components, 'p2', REQUEST);
  const elsewhere = { ...REQUEST, api: '10.0.0.7:6443' };
  await t.rejects(acceptJoin(components, 'p3', elsewhere), {
    code: 'not-admitted',
    message: /has a node "node2" already .*another machine.*--node-name.*skein remove node2/,
  });
  alive.add('p2');
  await t.rejects(acceptJoin(components, 'p3', { ...elsewhere, former: 'p2' }), {
    code: 'not-admitted',
    message: /and it is running/,
  });
  alive.clear();
  spared.fault = new SkeinError('config-invalid', 'node2 cannot be removed: only 1 of 2');
  await t.rejects(acceptJoin(components, 'p3', REQUEST), {
    code: 'not-admitted',
    message: /node2 cannot be removed: only 1 of 2/,
  });
  t.strictSame(added, ['p2']);
});

for (const [what, request] of [
  ['knows who it was', { ...REQUEST, api: '10.0.0.7:6443', former: 'p2' }],
  ['has the same address', REQUEST],
] as const) {
  t.test(`join: a machine that lost its data takes its old place if it ${what}`, async (t) => {
    const { added, store, components } = cluster();
    await acceptJoin(components, 'p2', REQUEST);
    const grant = await acceptJoin(components, 'p3', request);
    t.strictSame(
      grant.members.map(({ peer, node }) => `${peer} ${node}`),
      ['p3 node2'],
      'the old identity is gone, its name is the new one',
    );
    t.strictSame(added, ['p2', 'p3']);
    t.equal(memberOfNode(store, 'node2')?.api, request.api);
  });
}

t.test('join: a version that does not understand the cluster is refused, both named', async (t) => {
  const { components, store } = cluster();
  for (const levels of [undefined, { min: 1, max: 1 }, 'x']) {
    await t.rejects(acceptJoin(components, 'p2', { ...REQUEST, levels }), {
      code: 'not-admitted',
      message: /feature level 2 .*\(1\) understands levels 1 to 1: start this node with a version/,
    });
  }
  t.strictSame(readMembers(store), []);
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
