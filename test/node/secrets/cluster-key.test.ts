import { writeFile } from 'node:fs/promises';
import t from 'tap';
import { silentLogger } from '../../../src/lib/logger.ts';
import { type ClusterFile, dataPaths, readClusterFile } from '../../../src/node/data-dir.ts';
import { acceptJoin, parseGrant } from '../../../src/node/join-grant.ts';
import { clusterKeyOf } from '../../../src/node/secrets/cluster-key.ts';
import { ClusterKey } from '../../../src/sealing/cluster-key.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';

const FIRST_RELEASE: ClusterFile = {
  clusterId: 'c',
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  caCertificatePem: 'cert',
  caKeyPem: 'key of the authority',
  tokenKeyPem: 'token',
  node: 'node1',
  peer: 'p1',
  members: [],
  founder: true,
  settled: true,
};
const REQUEST = {
  peer: 'p2',
  node: 'node2',
  api: '10.0.0.2:6443',
  addresses: [],
  version: '1',
  levels: { min: 1, max: 2 },
};

/** What a node gets that `cluster` lets in. */
const grantOf = async (cluster: ClusterFile) => {
  const consensus = {
    addMember: async () => {},
    levels: () => ({ level: 2, members: new Map() }),
  };
  const alive = { isAlive: async () => true, remove: async () => {} };
  const parts = { cluster, consensus, log: silentLogger, ...alive };
  return parseGrant(
    structuredClone(await acceptJoin({ ...parts, store: createLocalStore() }, 'p2', REQUEST)),
  );
};

t.test('cluster key: whoever joins gets the one that the members have', async (t) => {
  const key = ClusterKey.generate();
  const grant = await grantOf({ ...FIRST_RELEASE, secretsKey: key.toText() });
  t.equal(clusterKeyOf(grant).id, key.id);
  const derived = await grantOf(FIRST_RELEASE);
  t.equal(clusterKeyOf(derived).id, clusterKeyOf(FIRST_RELEASE).id);
  const { secretsKey: _, ...ofFirstRelease } = derived;
  t.equal(clusterKeyOf(parseGrant(ofFirstRelease)).id, clusterKeyOf(FIRST_RELEASE).id);
  for (const secretsKey of ['', 7, 'skein-key1.abc', `${key.toText()}A`]) {
    t.throws(() => parseGrant({ ...derived, secretsKey }), { code: 'not-admitted' });
  }
});

t.test(
  'cluster key: a mistyped one in cluster.json is refused at once, and not repeated',
  async (t) => {
    const { cluster } = dataPaths(t.testdir());
    const text = ClusterKey.generate().toText();
    await writeFile(cluster, JSON.stringify({ ...FIRST_RELEASE, secretsKey: text.slice(0, -2) }));
    const refusal = await readClusterFile(cluster).then(
      () => '',
      (error: Error) => error.message,
    );
    t.match(refusal, /cluster\.json cannot be read.*no cluster key.*skein secrets key/);
    t.notMatch(refusal, text.slice(20, 40));
    await writeFile(cluster, JSON.stringify({ ...FIRST_RELEASE, secretsKey: text }));
    t.match(await readClusterFile(cluster), { secretsKey: text });
  },
);
