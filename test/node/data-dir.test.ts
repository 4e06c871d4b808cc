import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import t from 'tap';
import { SkeinError } from '../../src/lib/errors.ts';
import {
  type ClusterFile,
  dataPaths,
  readClusterFile,
  takeDataDir,
  unusable,
  writeClusterFile,
  writePrivateFile,
} from '../../src/node/data-dir.ts';

const CLUSTER: ClusterFile = {
  clusterId: 'c',
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  caCertificatePem: 'cert',
  caKeyPem: 'key',
  tokenKeyPem: 'token',
  node: 'node1',
  peer: 'p1',
  members: [{ peer: 'p1', node: 'node1', addresses: [], api: '10.0.0.1:6443' }],
  founder: true,
  settled: false,
};

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

t.test('data-dir: it is made for root alone, and closed where it was open', async (t) => {
  const dir = t.testdir();
  const lock = await takeDataDir(`${dir}/a/b`);
  t.teardown(() => lock.release());
  t.equal(await modeOf(`${dir}/a/b`), 0o700);
  await mkdir(`${dir}/open`, { mode: 0o755 });
  await chmod(`${dir}/open`, 0o755);
  const other = await takeDataDir(`${dir}/open`);
  t.teardown(() => other.release());
  t.equal(await modeOf(`${dir}/open`), 0o700);
});

t.test(
  'data-dir: a second process is refused with who uses it; not after it has ended',
  async (t) => {
    const dir = t.testdir();
    const lock = await takeDataDir(dir);
    await t.rejects(takeDataDir(dir), {
      code: 'config-invalid',
      message: new RegExp(`${dir} is in use: process ${process.pid} .*--data-dir`),
    });
    await lock.release();
    await (await takeDataDir(dir)).release();
  },
);

t.test('data-dir: a directory that cannot be written is told with the remedy', async (t) => {
  const dir = t.testdir({ file: 'x' });
  await t.rejects(takeDataDir(`${dir}/file/below`), {
    code: 'disk-failed',
    message: /below cannot be written: a part of the path is a file.*--data-dir/,
  });
  for (const [code, words] of [
    ['ENOSPC', /disk is full/],
    ['EROFS', /read-only/],
    ['EIO', /disk fails.*join this machine anew/],
    ['EACCES', /run as root/],
  ] as const) {
    const cause = Object.assign(new Error(`${code}: write`), { code, syscall: 'write' });
    t.match(unusable('/data', cause), { code: 'disk-failed', message: words }, code);
    const wrapped = new SkeinError('disk-failed', 'writing the log failed', { cause });
    t.match(unusable('/data', wrapped), { code: 'disk-failed', message: words }, 'deep down');
  }
  const others = [
    new Error('something else'),
    Object.assign(new Error('connect EACCES'), { code: 'EACCES', syscall: 'connect' }),
    Object.assign(new Error('open'), { code: 'EACCES', syscall: 'open', path: '/etc/passwd' }),
    Object.assign(new Error('open'), { code: 'EACCES', syscall: 'open', path: '/database' }),
    new SkeinError('network-failed', 'no', { cause: { code: 'EROFS', syscall: 'open' } }),
  ];
  for (const other of others) t.equal(unusable('/data', other), other, 'another failure');
});

t.test(
  'data-dir: a file is replaced whole, for root alone, and leaves nothing beside it',
  async (t) => {
    const dir = t.testdir({ 'a.json': 'old' });
    await chmod(`${dir}/a.json`, 0o644);
    await writeFile(`${dir}/a.json.new`, 'left by a crash');
    await writePrivateFile(`${dir}/a.json`, 'new');
    t.equal(await readFile(`${dir}/a.json`, 'utf8'), 'new');
    t.equal(await modeOf(`${dir}/a.json`), 0o600);
    t.strictSame(await readdir(dir), ['a.json']);
  },
);

t.test(
  'data-dir: a file that cannot be replaced stays, and nothing is left beside it',
  async (t) => {
    const dir = t.testdir({ 'a.json': {} });
    await t.rejects(writePrivateFile(`${dir}/a.json`, 'new'));
    t.strictSame(await readdir(dir), ['a.json']);
  },
);

t.test('data-dir: the place in a cluster is kept as it was written', async (t) => {
  const { cluster } = dataPaths(t.testdir());
  t.equal(await readClusterFile(cluster), undefined, 'before the first start there is none');
  await writeClusterFile(cluster, CLUSTER);
  t.strictSame(await readClusterFile(cluster), CLUSTER);
});

t.test('data-dir: a damaged file is told with what is wrong and the remedy', async (t) => {
  const { cluster } = dataPaths(t.testdir());
  const damaged = [
    ['', /cluster\.json cannot be read/],
    ['{"clusterId": "c", ', /cluster\.json cannot be read/],
    ['null', /it lacks clusterId/],
    [JSON.stringify({ ...CLUSTER, caKeyPem: undefined }), /it lacks caKeyPem/],
    [JSON.stringify({ ...CLUSTER, peer: 7 }), /it lacks peer/],
    [JSON.stringify({ ...CLUSTER, members: 'x' }), /it lacks members/],
  ] as const;
  for (const [text, message] of damaged) {
    await writeFile(cluster, text);
    await t.rejects(readClusterFile(cluster), { code: 'data-damaged', message }, text);
    await t.rejects(readClusterFile(cluster), { message: /delete its data directory and join/ });
  }
});
