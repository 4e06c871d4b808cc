import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { asIndex, asTerm } from '../../../raft/types.ts';
import { streamControl } from '../../../src/cli/control-client.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { hasCode, SkeinError } from '../../../src/lib/errors.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { serveControl } from '../../../src/node/control-server.ts';
import {
  type ClusterFile,
  dataPaths,
  logDirectory,
  readClusterFile,
} from '../../../src/node/data-dir.ts';
import { memberKey, memberNameKey, readMembers } from '../../../src/node/members.ts';
import { Backups } from '../../../src/node/recovery/backup.ts';
import {
  openBackup,
  verifyBackup,
  writeBackupFile,
} from '../../../src/node/recovery/backup-file.ts';
import {
  BACKUP_VERSION,
  BackupReader,
  encodeBackup,
} from '../../../src/node/recovery/backup-format.ts';
import { openKeys, sealKeys } from '../../../src/node/recovery/backup-keys.ts';
import { putRecord, REVISION_JUMP } from '../../../src/node/recovery/group-files.ts';
import { readOfflineNode, rebuildState } from '../../../src/node/recovery/offline-node.ts';
import { type RestoreOptions, restoreBackup } from '../../../src/node/recovery/restore.ts';
import { verifyDataDir } from '../../../src/node/recovery/verify.ts';
import { ClusterKey } from '../../../src/sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord } from '../../../src/sealing/record.ts';
import { encodeCommand } from '../../../src/store/commands.ts';
import { StoreState } from '../../../src/store/state.ts';
import type { Operation } from '../../../src/store/types.ts';
import { CLUSTER_ID, memberRecord, scratch } from '../../support/data-dir.ts';
import { put } from '../../support/store-values.ts';

const PASSPHRASE = 'correct horse battery';
const SECRET = 'a-secret-that-must-not-show';

const controller = { ownerReferences: [{ controller: true }] };
const pod = (name: string, nodeName: string | undefined, metadata: object = {}): Operation =>
  putObject(`/core/pods/default/${name}`, {
    metadata: { name, namespace: 'default', resourceVersion: '', ...metadata },
    spec: nodeName === undefined ? {} : { nodeName },
  });

function putObject(key: string, object: object): Operation {
  const text = JSON.stringify(object);
  const at = text.indexOf('"resourceVersion":"') + '"resourceVersion":"'.length;
  return { op: 'put', key, value: Buffer.from(text), revisionOffset: at };
}

type Source = {
  readonly state: StoreState;
  readonly clusterKey: ClusterKey;
  readonly cluster: ClusterFile;
  readonly apply: (operations: readonly Operation[]) => void;
};

/** A running node's replica. */
function source(): Source {
  const clusterKey = ClusterKey.generate();
  const state = new StoreState({ clusterKey });
  const key = clusterKey.makeDataKey();
  state.found(encodeRecord({ key, kinds: DEFAULT_KINDS, madeAt: '2026-01-01T00:00:00.000Z' }));
  const apply = (operations: readonly Operation[]): void => {
    const index = state.appliedIndex + 1;
    const command = {
      kind: 'transaction',
      transaction: { checks: [], operations },
      client: 'test',
      sequence: index,
      acknowledged: index - 1,
      born: index - 1,
    } as const;
    const data = encodeCommand(command, state.sealing.inForce);
    state.apply([{ index: asIndex(index), term: asTerm(5), data }]);
  };
  const cluster: ClusterFile = {
    clusterId: CLUSTER_ID,
    clusterCidr: '10.1.0.0/16',
    serviceCidr: '10.2.0.0/16',
    caCertificatePem: 'old certificate',
    caKeyPem: 'old ca key',
    tokenKeyPem: 'old token key',
    secretsKey: clusterKey.toText(),
    node: 'node1',
    peer: 'peer1',
    members: [],
    founder: true,
    settled: true,
  };
  apply([
    ...['1', '2'].flatMap((n) => [
      putRecord(memberKey(`peer${n}`), memberRecord(`peer${n}`, `node${n}`)),
      putRecord(memberNameKey(`node${n}`), { peer: `peer${n}` }),
      put(`/core/nodes//node${n}`, {}),
    ]),
    put('/core/secrets/default/s', { data: { password: SECRET } }),
    put('/skein/join-tokens//t', { secret: 'x' }),
    pod('unbound', undefined),
    pod('bare', 'node2'),
    pod('owned', 'node2', controller),
    pod('here', 'node1'),
  ]);
  for (let n = 0; n < 50; n++) {
    apply([put(`/core/configmaps/default/c${n}`, { data: { n: String(n) } })]);
  }
  return { state, clusterKey, cluster, apply };
}

function backupsOf({ state, cluster }: Source, readBarrier = async () => {}): Backups {
  const store = { readBarrier };
  const consensus = { status: () => ({ term: asTerm(5) }), levels: () => ({ level: 2 }) } as never;
  const parts = { store, state, consensus, cluster, clock: systemClock, product: '1.2.3' };
  return new Backups(parts, { costLog2: 10 });
}

/** A backup through the control socket into a file. */
async function backup(t: Test, from: Source, request: object = {}): Promise<string> {
  const directory = await scratch(t);
  const backups = backupsOf(from);
  const routes = { 'POST /backup': (body: object) => backups.begin(body) };
  const server = await serveControl(`${directory}/s`, routes, silentLogger);
  t.teardown(() => server.close());
  const path = `${directory}/backup`;
  const chunks = await streamControl(`${directory}/s`, {
    method: 'POST',
    path: '/backup',
    body: request,
  });
  await writeBackupFile(chunks, path);
  return path;
}

const configOf = (dataDir: string, nodeName = 'fresh'): RestoreOptions['config'] => ({
  dataDir,
  nodeName,
  advertiseAddress: '127.0.0.1',
  apiPort: 6443,
  meshPort: 7946,
});

async function restoredState(root: string): Promise<StoreState> {
  const node = await readOfflineNode(root);
  return rebuildState(node.storage, 'end', node.cluster);
}

const textsOf = (state: StoreState, prefix: string): string[] => {
  const listed = state.list(prefix);
  return listed.kind === 'listed'
    ? listed.items.map(({ key, revision, bytes }) => `${key} ${revision} ${bytes}`)
    : [];
};

t.test(
  'backup: a file holds the state of one revision, whatever is written meanwhile',
  async (t) => {
    const from = source();
    const revision = from.state.revision();
    const { chunks } = await backupsOf(from).begin({});
    const path = `${await scratch(t)}/backup`;
    const parts: Buffer[] = [];
    for await (const chunk of chunks) {
      from.apply([put('/core/configmaps/default/c1', { data: { n: 'later' } })]);
      from.apply([put(`/core/configmaps/default/later${parts.length}`, {})]);
      parts.push(Buffer.from(chunk));
    }
    const whole = Buffer.concat(parts);
    const summary = await writeBackupFile(toStream(whole), path);
    t.match(summary.header, { revision, clusterId: CLUSTER_ID, members: ['node1', 'node2'] });
    t.equal(summary.sha256, createHash('sha256').update(whole).digest('hex'));
    t.equal((await stat(path)).mode & 0o777, 0o600);
    const { content } = await verifyBackup(path);
    t.match(content, { revision, objects: summary.header.objects });
    t.ok(content.sealed >= 2, 'the Secret and the join token');
  },
);

t.test('backup: secrets and keys do not show in it', async (t) => {
  const from = source();
  const bytes = await readFile(await backup(t, from, { passphrase: PASSPHRASE }));
  for (const text of [
    SECRET,
    'old ca key',
    'old token key',
    from.clusterKey.toText(),
    PASSPHRASE,
  ]) {
    t.notOk(bytes.includes(text), text);
  }
});

t.test('backup: nothing is there under its name until it is whole', async (t) => {
  const directory = await scratch(t);
  const { chunks } = await backupsOf(source()).begin({});
  async function* brokenOff() {
    for await (const chunk of chunks) {
      yield chunk;
      t.strictSame(
        (await readdir(directory)).filter((name) => name === 'backup'),
        [],
      );
      return;
    }
  }
  await t.rejects(writeBackupFile(brokenOff(), `${directory}/backup`), /it was cut short/);
  t.strictSame(await readdir(directory), [], 'and nothing is left');
  await writeFile(`${directory}/backup`, 'mine');
  await t.rejects(writeBackupFile(toStream(Buffer.of()), `${directory}/backup`), /exists already/);
  t.equal(await readFile(`${directory}/backup`, 'utf8'), 'mine');
});

t.test('backup: without a quorum it is refused, unless what this node knows will do', async (t) => {
  const from = source();
  const noLeader = async () => {
    throw new SkeinError('no-leader', 'nobody leads');
  };
  const backups = backupsOf(from, noLeader);
  await t.rejects(backups.begin({}), { code: 'no-leader' });
  const path = `${await scratch(t)}/backup`;
  const { chunks, end } = await backups.begin({ local: true });
  const { header } = await writeBackupFile(chunks, path);
  end();
  t.equal(header.linearizable, false);
});

t.test('backup: only so many are made at a time', async (t) => {
  const backups = backupsOf(source());
  const [one] = await Promise.all([backups.begin({}), backups.begin({})]);
  await t.rejects(backups.begin({}), { code: 'overloaded' });
  one.end();
  t.ok(await backups.begin({}));
});

t.test('backup: every truncation and every flipped bit is noticed', async (t) => {
  const path = await backup(t, source());
  const whole = await readFile(path);
  const random = seededRandom(3);
  for (let round = 0; round < 150; round++) {
    const bent = Buffer.from(whole);
    const at = random.int(0, whole.length - 1);
    const cut = random.chance(0.3);
    if (!cut) bent.writeUInt8((bent[at] as number) ^ (1 << random.int(0, 7)), at);
    await writeFile(path, cut ? bent.subarray(0, at) : bent);
    await t.rejects(
      verifyBackup(path),
      { message: /is no intact backup|newer Skein/ },
      `${cut ? 'cut' : 'flipped'} at ${at}`,
    );
  }
  await writeFile(path, Buffer.concat([whole, Buffer.of(0)]));
  await t.rejects(verifyBackup(path), /bytes follow its end/);
  await writeFile(path, whole);
  t.ok(await verifyBackup(path));
});

t.test(
  'backup: a bent piece shows as it arrives, and pieces in another order at the end',
  async (t) => {
    const { header } = await openBackup(await backup(t, source()));
    async function* pieces() {
      for (const text of ['one', 'two']) yield Buffer.from(text);
    }
    const [head, one, two, end] = await framesOf(encodeBackup(header, undefined, pieces()));
    if (!head || !one || !two || !end) throw new Error('four frames');
    const bent = Buffer.from(one);
    bent.writeUInt8(0, bent.length - 1);
    t.throws(() => new BackupReader('b').add(Buffer.concat([head, bent])), /fails its checksum/);
    const swapped = new BackupReader('b');
    t.equal(swapped.add(Buffer.concat([head, two, one])).length, 3, 'each by itself is good');
    t.throws(() => swapped.add(end), /its SHA-256 does not match/);
    const whole = new BackupReader('b');
    whole.add(Buffer.concat([head, one, two, end]));
    t.strictSame(whole.finish(), header);
  },
);

t.test('backup: a reader that goes away frees its place', async (t) => {
  const directory = await scratch(t);
  const backups = backupsOf(source());
  const routes = { 'POST /backup': (body: object) => backups.begin(body) };
  const server = await serveControl(`${directory}/s`, routes, silentLogger);
  t.teardown(() => server.close());
  const ask = () => streamControl(`${directory}/s`, { method: 'POST', path: '/backup', body: {} });
  for (let round = 0; round < 4; round++) {
    const chunks = await until(ask);
    for await (const _ of chunks) break;
  }
  t.pass('four in a row, although only two are made at a time');
});

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

t.test(
  'backup keys: they open with their passphrase only, and a short one is refused',
  async (t) => {
    const keys = { caCertificatePem: 'c', caKeyPem: 'k', tokenKeyPem: 't', secretsKey: 's' };
    const cheap = { costLog2: 10 };
    const sealed = await sealKeys(keys, PASSPHRASE, cheap);
    t.strictSame(await openKeys(sealed, PASSPHRASE), keys);
    await t.rejects(openKeys(sealed, `${PASSPHRASE}!`), { code: 'config-invalid' });
    await t.rejects(sealKeys(keys, 'too short'), /take at least 12/);
    t.not(sealed.toString('hex'), (await sealKeys(keys, PASSPHRASE, cheap)).toString('hex'));
  },
);

async function* toStream(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes;
}

async function framesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  for await (const chunk of chunks) frames.push(chunk);
  return frames;
}

const bytesOf = async (chunks: AsyncIterable<Buffer>): Promise<Buffer> =>
  Buffer.concat(await framesOf(chunks));

/** Asks again while the node says that it is busy. */
async function until<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!hasCode(error, 'overloaded') || attempt > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
