import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import t from 'tap';
import { dataPaths, logDirectory, readClusterFile } from '../../../src/node/data-dir.ts';
import { readMembers } from '../../../src/node/members.ts';
import { openBackup } from '../../../src/node/recovery/backup-file.ts';
import { BACKUP_VERSION, encodeBackup } from '../../../src/node/recovery/backup-format.ts';
import { REVISION_JUMP } from '../../../src/node/recovery/group-files.ts';
import { readOfflineNode } from '../../../src/node/recovery/offline-node.ts';
import { restoreBackup } from '../../../src/node/recovery/restore.ts';
import { verifyDataDir } from '../../../src/node/recovery/verify.ts';
import { ClusterKey } from '../../../src/sealing/cluster-key.ts';
import {
  backup,
  bytesOf,
  configOf,
  PASSPHRASE,
  restoredState,
  source,
  textsOf,
  toStream,
} from '../../support/backup-source.ts';
import { CLUSTER_ID, scratch } from '../../support/data-dir.ts';

t.test('restore: the new cluster holds every object as it was', async (t) => {
  const from = source();
  const path = await backup(t, from, { passphrase: PASSPHRASE });
  const root = `${await scratch(t)}/data`;
  const restored = await restoreBackup(path, { config: configOf(root), passphrase: PASSPHRASE });
  t.match(await verifyDataDir(root), {
    intact: true,
    node: 'fresh',
    clusterId: restored.clusterId,
    findings: [],
    state: { members: [{ node: 'fresh' }] },
    log: { standing: { voters: [(await readOfflineNode(root)).peer], term: 6 } },
  });
  const state = await restoredState(root);
  for (const prefix of ['/core/configmaps/', '/core/secrets/']) {
    t.strictSame(textsOf(state, prefix), textsOf(from.state, prefix), prefix);
  }
  t.match(await readClusterFile(dataPaths(root).cluster), {
    clusterCidr: '10.1.0.0/16',
    serviceCidr: '10.2.0.0/16',
    caCertificatePem: 'old certificate',
    caKeyPem: 'old ca key',
    tokenKeyPem: 'old token key',
    secretsKey: from.clusterKey.toText(),
    settled: true,
  });
  t.not(restored.clusterId, CLUSTER_ID);
  t.ok(restored.revision > from.state.revision() + REVISION_JUMP - 1);
  t.equal(state.oldestRevision(), restored.revision, 'watches of the old cluster are too old');
});

t.test(
  'restore: nodes that do not exist here are left out, with their pods and tokens',
  async (t) => {
    const from = source();
    const path = await backup(t, from);
    const root = `${await scratch(t)}/data`;
    const secretsKey = from.clusterKey.toText();
    const restored = await restoreBackup(path, { config: configOf(root), secretsKey });
    t.match(restored, { nodesLeftOut: ['node1', 'node2'], podsLeftOut: 3, keysKept: false });
    t.strictSame(restored.podsLost.toSorted(), ['default/bare', 'default/here']);
    const state = await restoredState(root);
    t.strictSame(state.list('/core/nodes/'), { ...state.list('/core/nodes/'), items: [] });
    t.match(textsOf(state, '/core/pods/'), [/^\/core\/pods\/default\/unbound/]);
    t.strictSame(textsOf(state, '/skein/join-tokens/'), []);
    t.strictSame(
      readMembers(state).map(({ node }) => node),
      ['fresh'],
    );
  },
);

t.test('restore: a node of the same name keeps its object and its pods', async (t) => {
  const from = source();
  const path = await backup(t, from);
  const root = `${await scratch(t)}/data`;
  const config = configOf(root, 'node1');
  const secretsKey = from.clusterKey.toText();
  const restored = await restoreBackup(path, { config, secretsKey });
  t.match(restored, { nodesLeftOut: ['node2'], podsLeftOut: 2, podsLost: ['default/bare'] });
  const state = await restoredState(root);
  t.ok(state.get('/core/nodes//node1') && state.get('/core/pods/default/here'));
});

t.test('restore: without the key of its Secrets it is refused, with the way to them', async (t) => {
  const from = source();
  const bare = await backup(t, from);
  const root = `${await scratch(t)}/data`;
  const config = configOf(root);
  await t.rejects(restoreBackup(bare, { config }), {
    code: 'key-missing',
    message: new RegExp(
      `cluster key ${from.clusterKey.id}, and none was given.*--secrets-key-file`,
    ),
  });
  const secretsKey = ClusterKey.generate().toText();
  await t.rejects(restoreBackup(bare, { config, secretsKey }), { code: 'key-missing' });
  const withKeys = await backup(t, from, { passphrase: PASSPHRASE });
  await t.rejects(restoreBackup(withKeys, { config }), /give their passphrase.*or --new-authority/);
  await t.rejects(
    restoreBackup(withKeys, { config, passphrase: 'something else' }),
    /is not the one/,
  );
  await t.rejects(restoreBackup(bare, { config, passphrase: PASSPHRASE }), /holds no keys/);
  t.notOk(await readClusterFile(dataPaths(root).cluster), 'nothing was made');
  const restored = await restoreBackup(withKeys, {
    config,
    passphrase: PASSPHRASE,
    newAuthority: true,
  });
  t.equal(restored.keysKept, false);
  const file = await readClusterFile(dataPaths(root).cluster);
  t.not(file?.caKeyPem, 'old ca key');
  t.equal(file?.secretsKey, from.clusterKey.toText(), 'the Secrets still open');
});

t.test(
  'restore: a directory that is not empty, a damaged file and a newer format are refused',
  async (t) => {
    const from = source();
    const path = await backup(t, from);
    const secretsKey = from.clusterKey.toText();
    const root = `${await scratch(t)}/data`;
    await restoreBackup(path, { config: configOf(root), secretsKey });
    const before = await readFile(dataPaths(root).cluster);
    await t.rejects(restoreBackup(path, { config: configOf(root), secretsKey }), {
      code: 'config-invalid',
      message: /is not empty \(it holds .*choose another --data-dir/,
    });
    t.strictSame(await readFile(dataPaths(root).cluster), before);

    const { header } = await openBackup(path);
    const newer = encodeBackup(
      { ...header, version: BACKUP_VERSION + 1, product: '9.9.9' },
      undefined,
      toStream(Buffer.of()),
    );
    const newerPath = `${await scratch(t)}/newer`;
    await writeFile(newerPath, await bytesOf(newer));
    const empty = configOf(`${await scratch(t)}/data`);
    await t.rejects(
      restoreBackup(newerPath, { config: empty }),
      /made by a newer Skein \(9\.9\.9,/,
    );

    const later = encodeBackup({ ...header, level: 99 }, undefined, toStream(Buffer.of()));
    const laterPath = `${await scratch(t)}/later`;
    await writeFile(laterPath, await bytesOf(later));
    await t.rejects(restoreBackup(laterPath, { config: empty, secretsKey }), {
      code: 'version-unsupported',
      message: /at feature level 99/,
    });

    await truncate(path, (await stat(path)).size - 1);
    await t.rejects(restoreBackup(path, { config: empty, secretsKey }), /it was cut short/);
    t.notOk(await readClusterFile(dataPaths(empty.dataDir).cluster));
    t.notOk((await readdir(empty.dataDir)).some((name) => name.startsWith('consensus')));
  },
);

t.test('restore: an attempt that was interrupted is cleared away by the next', async (t) => {
  const from = source();
  const path = await backup(t, from);
  const secretsKey = from.clusterKey.toText();
  const root = `${await scratch(t)}/data`;
  const config = configOf(root);
  const onCommit = () => {
    throw new Error('power cut');
  };
  await t.rejects(restoreBackup(path, { config, secretsKey, onCommit }), { message: 'power cut' });
  t.notOk(await readClusterFile(dataPaths(root).cluster));
  await restoreBackup(path, { config, secretsKey });
  const file = (await readClusterFile(dataPaths(root).cluster)) ?? { log: '' };
  t.strictSame(
    (await readdir(root)).filter((name) => name.startsWith('consensus')),
    [logDirectory(dataPaths(root), file).slice(root.length + 1)],
  );
  t.equal((await verifyDataDir(root)).intact, true);
  await rm(dataPaths(root).cluster);
  await t.rejects(
    restoreBackup(path, { config, secretsKey }),
    /is not empty \(it holds consensus-/,
    'but never a log that was in use',
  );
});
