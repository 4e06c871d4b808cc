import { spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import t from 'tap';
import { silentLogger } from '../../src/lib/logger.ts';
import { ControlStream, serveControl } from '../../src/node/control-server.ts';
import { memberKey } from '../../src/node/members.ts';
import { BACKUP_VERSION, encodeBackup } from '../../src/node/recovery/backup-format.ts';
import { putRecord } from '../../src/node/recovery/group-files.ts';
import { StoreState } from '../../src/store/state.ts';
import { CLUSTER_ID, memberRecord, nodeFiles, scratch } from '../support/data-dir.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

type Outcome = { readonly code: number | null; readonly out: Buffer; readonly err: string };

/** Runs the command as a user does. */
function skein(...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: process.env['PATH'] } });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8');
  });
  return new Promise((resolve) =>
    child.once('close', (code) => resolve({ code, out: Buffer.concat(out), err })),
  );
}

t.test('cli: verify prints what is there; its exit code says whether it is intact', async (t) => {
  const node = await nodeFiles(t, { writes: 30, uncertain: 2 });
  const good = await skein('verify', node.root);
  t.equal(good.code, 0);
  for (const line of [
    /^newest +term 3, index 32$/m,
    /^committed +index 30 at least; 2 entries behind it may have been acknowledged$/m,
    /^voters +node1, node2, node3$/m,
    /^intact: the node can start from this$/m,
  ]) {
    t.match(String(good.out), line);
  }
  const file = await open(`${node.log}/wal/000000000001.wal`, 'r+');
  await file.write(Buffer.from('bent'), 0, 4, 5000);
  await file.close();
  const bad = await skein('verify', node.root);
  t.equal(bad.code, 1);
  t.match(String(bad.out), /^DAMAGED .*000000000001\.wal, byte \d+: /m);
  t.match(String(bad.out), /skein remove <node> there, skein reset --yes here/);
});

t.test('cli: recover shows, asks, and only then acts', async (t) => {
  const node = await nodeFiles(t);
  const before = await readdir(node.root, { recursive: true });
  const asked = await skein('recover', '--data-dir', node.root);
  t.equal(asked.code, 1);
  t.match(String(asked.out), /^others +node2 \(votes\), node3 \(votes\)$/m);
  t.match(asked.err, /^skein: nothing was changed\. .*repeat with --yes/);
  t.strictSame(await readdir(node.root, { recursive: true }), before);
  const done = await skein('recover', '--data-dir', node.root, '--yes', '-o', 'json');
  t.equal(done.code, 0, done.err);
  t.match(JSON.parse(String(done.out)), { node: 'node1', clusterId: /^[0-9a-f-]{36}$/ });
});

t.test('cli: recover refuses while others answer that make a majority', async (t) => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as { port: number };
  const alive = { ...memberRecord('peer2', 'node2'), api: `127.0.0.1:${port}` };
  const node = await nodeFiles(t, { operations: [putRecord(memberKey('peer2'), alive)] });
  const refused = await skein('recover', '--data-dir', node.root, '--yes');
  t.equal(refused.code, 1);
  t.match(String(refused.out), /node2 \(votes, ANSWERS\)/);
  t.match(refused.err, /node2 answered: with this node that is a majority of the 3 voters/);
});

t.test(
  'cli: backup writes a file or to standard output, and what it takes to restore',
  async (t) => {
    const directory = await scratch(t);
    const state = new StoreState();
    const asked: object[] = [];
    const begin = (body: object) => {
      asked.push(body);
      return new ControlStream(
        encodeBackup(
          {
            format: 'skein-backup',
            version: BACKUP_VERSION,
            product: '1',
            clusterId: CLUSTER_ID,
            clusterCidr: '10.244.0.0/16',
            serviceCidr: '10.96.0.0/16',
            node: 'node1',
            time: '2026-01-01T00:00:00.000Z',
            revision: 0,
            index: 0,
            term: 1,
            level: 1,
            objects: 0,
            members: ['node1'],
            linearizable: true,
            keys: false,
            clusterKey: null,
          },
          undefined,
          state.snapshot().chunks(),
        ),
      );
    };
    const server = await serveControl(
      `${directory}/skein.sock`,
      { 'POST /backup': begin },
      silentLogger,
    );
    t.teardown(() => server.close());
    const at = ['--data-dir', directory];
    const path = `${directory}/b`;
    t.match(
      (await skein('backup', path, ...at)).err,
      /--passphrase-file <path>, or .*--without-keys/,
    );
    t.strictSame(asked, []);
    const written = await skein('backup', path, '--without-keys', ...at);
    t.equal(written.code, 0, written.err);
    t.match(String(written.out), /^to restore it: this file; the cluster gets new keys$/m);
    const piped = await skein('backup', '-', '--without-keys', '--local', ...at);
    t.strictSame(piped.out, await readFile(path), 'nothing but the backup on standard output');
    t.match(piped.err, /^sha256 +[0-9a-f]{64}$/m);
    t.strictSame(asked, [{ local: false }, { local: true }]);
    const flags = ['--advertise-address', '127.0.0.1', '--node-name', 'fresh'];
    const restored = await skein('restore', path, '--data-dir', `${directory}/data`, ...flags);
    t.equal(restored.code, 0, restored.err);
    t.match(String(restored.out), /^fresh is the first node of the new cluster [0-9a-f-]{36}/m);
  },
);
