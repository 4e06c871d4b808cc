/** Secrets at rest with a real node: what its settings, its key and its death come to on disk. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import type { SecretsStatus } from '../../../src/cli/status-types.ts';
import { runCommand } from '../../../src/lib/command.ts';
import { type ClusterFile, dataPaths } from '../../../src/node/data-dir.ts';
import { ClusterKey } from '../../../src/sealing/cluster-key.ts';
import { startDockerd, until } from '../../support/dockerd.ts';

const MAIN = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
const WORD = 'correct-horse-battery-staple';
const START_DEADLINE_MS = 60_000;

const dockerd = await startDockerd();
t.teardown(() => dockerd.stop());
t.setTimeout(0);

const dir = `${dockerd.directory}/skein`;
const paths = dataPaths(dir);
const inside = (...command: string[]): string[] => [
  `--net=/run/netns/${dockerd.netns}`,
  ...command,
];

type Run = { readonly child: ChildProcess; readonly ended: Promise<unknown>; said(): string };

/** Runs a node, whose crash the kernel would dump into the working directory if it could. */
function up(...flags: readonly string[]): Run {
  const fixed = [
    `--docker-socket=${dockerd.socketPath}`,
    `--data-dir=${dir}`,
    '--node-name=node1',
    '--advertise-address=127.0.0.1',
  ];
  const dumping = ['sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh'];
  const command = [...dumping, process.execPath, MAIN, 'up', ...fixed, ...flags];
  const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe'];
  const child = spawn('nsenter', inside(...command), { stdio, cwd: dockerd.directory });
  t.teardown(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8');
  });
  const ended = new Promise((resolve) => child.once('close', (code) => resolve(code)));
  return { child, ended, said: () => err };
}

const skein = (...args: string[]): Promise<string> =>
  runCommand(process.execPath, [MAIN, ...args, '--data-dir', dir]);
const status = async (): Promise<SecretsStatus> =>
  JSON.parse(await skein('secrets', 'status', '-o', 'json'));
const kubectl = (...args: string[]): Promise<string> =>
  runCommand('nsenter', inside('kubectl', `--kubeconfig=${paths.adminKubeconfig}`, ...args));

async function running(node: Run): Promise<void> {
  await until('the node to be up', START_DEADLINE_MS, () => node.said().includes('the node is up'));
}

/** Files of the data directory that show the word, in plain or as objects hold it. */
async function showing(): Promise<readonly string[]> {
  const encoded = Buffer.from(WORD).toString('base64').slice(0, -4);
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = files.filter((one) => one.isFile()).map((one) => `${one.parentPath}/${one.name}`);
  const found: string[] = [];
  for (const path of paths) {
    const text = await readFile(path, 'latin1');
    if (text.includes(WORD) || text.includes(encoded)) found.push(path);
  }
  return found;
}

t.test(
  'secrets: made without encryption a cluster stays so, until somebody turns it on',
  async (t) => {
    await mkdir(dir, { mode: 0o700 });
    const first = up('--secrets-encryption=false');
    await running(first);
    await kubectl('create', 'secret', 'generic', 'words', `--from-literal=word=${WORD}`);
    t.match(await status(), { encrypted: false, complete: true });
    first.child.kill('SIGTERM');
    await first.ended;
    const second = up();
    await running(second);
    t.match(await status(), { encrypted: false }, 'a later default changes nothing');
    t.ok((await showing()).length > 0, 'in plain, as it was ordered');
    await skein('secrets', 'enable');
    t.match(await status(), { encrypted: true, complete: true });
    t.strictSame(await showing(), []);
    second.child.kill('SIGSEGV');
    await second.ended;
    const left = await readdir(dockerd.directory);
    t.strictSame(
      left.filter((name) => name.startsWith('core')),
      [],
      'no core file',
    );
  },
);

t.test('secrets: a node with another key says so and ends, and loses nothing by it', async (t) => {
  const file = JSON.parse(await readFile(paths.cluster, 'utf8')) as ClusterFile;
  const wrong = { ...file, secretsKey: ClusterKey.generate().toText() };
  await writeFile(paths.cluster, JSON.stringify(wrong));
  const refused = up();
  t.equal(await refused.ended, 1);
  t.match(refused.said().trim().split('\n').at(-1), /^skein: secrets are sealed under cluster key/);
  const { secretsKey } = file;
  const repaired = JSON.parse(await readFile(paths.cluster, 'utf8')) as ClusterFile;
  await writeFile(paths.cluster, JSON.stringify({ ...repaired, secretsKey }));
  const again = up();
  await running(again);
  const { data } = JSON.parse(await kubectl('get', 'secret', 'words', '-o', 'json'));
  t.equal(Buffer.from(data.word, 'base64').toString(), WORD);
  t.equal((await skein('secrets', 'key')).trim(), secretsKey);
  again.child.kill('SIGTERM');
  t.equal(await again.ended, 0);
});
