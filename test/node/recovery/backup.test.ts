import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import t from 'tap';
import { streamControl } from '../../../src/cli/control-client.ts';
import { SkeinError } from '../../../src/lib/errors.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { serveControl } from '../../../src/node/control-server.ts';
import {
  openBackup,
  verifyBackup,
  writeBackupFile,
} from '../../../src/node/recovery/backup-file.ts';
import { BackupReader, encodeBackup } from '../../../src/node/recovery/backup-format.ts';
import { openKeys, sealKeys } from '../../../src/node/recovery/backup-keys.ts';
import {
  backup,
  backupsOf,
  framesOf,
  PASSPHRASE,
  SECRET,
  source,
  toStream,
  until,
} from '../../support/backup-source.ts';
import { CLUSTER_ID, scratch } from '../../support/data-dir.ts';
import { put } from '../../support/store-values.ts';

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
