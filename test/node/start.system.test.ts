/** How a start that cannot succeed ends: with a clear word, soon, and with nothing left behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import { runCommand } from '../../src/lib/command.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import { encodeToken } from '../../src/mesh/join-token.ts';
import { startDockerd, until } from '../support/dockerd.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const START_DEADLINE_MS = 30_000;

const dockerd = await startDockerd();
t.teardown(() => dockerd.stop());
t.setTimeout(0);

type Outcome = { readonly code: number | null; readonly err: string; readonly ms: number };
type Run = { readonly child: ChildProcess; readonly ended: Promise<Outcome>; said(): string };

/** Runs skein in the namespace of the test's daemon. */
function skein(dir: string, command: readonly string[], flags: readonly string[] = []): Run {
  const started = performance.now();
  const fixed = [
    `--docker-socket=${dockerd.socketPath}`,
    `--data-dir=${dir}`,
    '--node-name=node1',
    '--advertise-address=127.0.0.1',
  ];
  const enter = [`--net=/run/netns/${dockerd.netns}`, process.execPath, MAIN];
  const child = spawn('nsenter', [...enter, ...command, ...fixed, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let err = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8');
  });
  const ended = new Promise<Outcome>((resolve) =>
    child.once('close', (code) => resolve({ code, err, ms: performance.now() - started })),
  );
  return { child, ended, said: () => err };
}

/** A small file system of its own. */
async function disk(options: string): Promise<string> {
  const path = `${dockerd.directory}/disk-${options.replace(/\W/g, '-')}`;
  await mkdir(path);
  await runCommand('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  return path;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

t.test('start: a disk that is full is told before anything is begun', async (t) => {
  const path = await disk('size=64k');
  t.teardown(() => runCommand('umount', [path]));
  await writeFile(`${path}/ballast`, Buffer.alloc(64 * 1024)).catch(() => {});
  const { code, err } = await skein(`${path}/skein`, ['up']).ended;
  t.equal(code, 1);
  t.match(lastLine(err), /^skein: .*cannot be written: the disk is full.*--data-dir/);
});

t.test('start: a disk too small for a log is told as full as well', async (t) => {
  const path = await disk('size=4m');
  t.teardown(() => runCommand('umount', [path]));
  const { code, err } = await skein(path, ['up']).ended;
  t.equal(code, 1);
  t.match(lastLine(err), /^skein: .*cannot be written: the disk is full/);
});

t.test('start: a file system that is read-only is told with the remedy', async (t) => {
  const path = await disk('size=1m,ro');
  t.teardown(() => runCommand('umount', [path]));
  const { code, err } = await skein(`${path}/skein`, ['up']).ended;
  t.equal(code, 1);
  t.match(lastLine(err), /^skein: .*cannot be written: the file system is read-only/);
});

t.test('start: one that fails half-way leaves no process, no port and no lock', async (t) => {
  const dir = `${dockerd.directory}/half`;
  await mkdir(dir);
  // The control socket comes last: everything else has been started by then.
  await mkdir(`${dir}/skein.sock/in-the-way`, { recursive: true });
  const { code, err } = await skein(dir, ['up']).ended;
  t.equal(code, 1);
  t.match(lastLine(err), /^skein: .*skein\.sock/);
  const listening = await runCommand('nsenter', [
    `--net=/run/netns/${dockerd.netns}`,
    'ss',
    '-Hltn',
  ]);
  t.equal(listening.trim(), '');
  await runCommand('rm', ['-r', `${dir}/skein.sock`]);
  const again = skein(dir, ['up']);
  await until('the node to be up', START_DEADLINE_MS, () =>
    again.said().includes('the node is up'),
  );
  again.child.kill('SIGTERM');
  t.equal((await again.ended).code, 0, 'and the next start succeeds');
});

t.test('join: members out of reach are named, with their addresses, in time', async (t) => {
  const { id } = await createIdentity();
  const token = encodeToken({
    id: 'x',
    caHash: new Uint8Array(32),
    secret: new Uint8Array(32),
    addresses: [`/ip4/127.0.0.1/tcp/9/p2p/${id}`],
  });
  const dir = `${dockerd.directory}/join`;
  const { code, err, ms } = await skein(dir, ['join', token]).ended;
  t.equal(code, 1);
  t.match(lastLine(err), /^skein: no member of the cluster answered: .*127\.0\.0\.1\/tcp\/9/);
  t.ok(ms < 20_000, `${ms.toFixed(0)} ms`);
  t.notMatch(await readdir(dir), ['cluster.json'], 'nothing pretends that it joined');
  t.notMatch(err, token, 'the token is in no log');
});

t.test(
  'join: told to stop while it waits for an answer, it ends at once and in order',
  async (t) => {
    const { id } = await createIdentity();
    // Nobody answers there, and nobody refuses either.
    const ip = (line: string) => runCommand('ip', ['-n', dockerd.netns, ...line.split(' ')]);
    await ip('link add void type veth peer name end');
    await ip('link set end up');
    await ip('addr add 10.99.0.1/24 dev void');
    await ip('link set void up');
    const token = encodeToken({
      id: 'x',
      caHash: new Uint8Array(32),
      secret: new Uint8Array(32),
      addresses: [`/ip4/10.99.0.2/tcp/7946/p2p/${id}`],
    });
    const run = skein(`${dockerd.directory}/wait`, ['join', token]);
    await until('it to ask', START_DEADLINE_MS, () => run.said().includes('joining the cluster'));
    const told = performance.now();
    run.child.kill('SIGTERM');
    t.equal((await run.ended).code, 0);
    t.ok(performance.now() - told < 5000);
  },
);

t.test('start: a second signal ends the process even while it stops', async (t) => {
  const run = skein(`${dockerd.directory}/signals`, ['up']);
  await until('the node to be up', START_DEADLINE_MS, () => run.said().includes('the node is up'));
  run.child.kill('SIGTERM');
  run.child.kill('SIGINT');
  const { code } = await run.ended;
  // Whichever was first: an orderly end, or the one that does not wait.
  t.ok(code === 0 || code === 1, `exit code ${code}`);
  const pid = (await readFile(`${dockerd.directory}/signals/lock`, 'utf8')).trim();
  t.ok(pid, 'the lock names who had it');
  const again = skein(`${dockerd.directory}/signals`, ['up']);
  await until('the node to be up', START_DEADLINE_MS, () =>
    again.said().includes('the node is up'),
  );
  again.child.kill('SIGTERM');
  t.equal((await again.ended).code, 0, 'what it left behind is no obstacle');
});
