/**
 * The lab itself: labs side by side, commands run twice, commands killed half way, hosts that crash; and when a lab is
 * gone, nothing of it is left on the machine.
 */

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { tracesOf } from '../../src/lab/traces.ts';
import { claimLab } from './support/claim.ts';
import { waitFor } from './support/cluster.ts';

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const LABS = ['e2e-lab-a', 'e2e-lab-b'] as const;
const [A, B] = LABS;
/** When `lab up` is killed: while it makes wires, hosts, Docker, the cluster. */
const KILL_UP_AFTER_MS = [100, 200, 300, 400, 500, 600, 800, 1000];
const KILL_DOWN_AFTER_MS = [200, 350];

type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Runs a program; killed hard after `killAfterMs`. */
function run(program: string, args: readonly string[], killAfterMs = 120_000): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.once('error', reject);
    // Not `close`: what was started by a killed command may hold its pipes.
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 137, stdout, stderr });
    });
  });
}

const lab = (name: string, ...args: readonly string[]) =>
  run(SKEIN, ['lab', ...args, '--name', name]);

/** A command that must succeed; resolves with its output. */
async function done(t: Test, name: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab(name, ...args);
  t.equal(code, 0, `lab ${args.join(' ')} of ${name}: ${stderr.trim().split('\n').at(-1)}`);
  return stdout;
}

type Status = {
  readonly hosts: readonly {
    readonly host: string;
    readonly up: boolean;
    readonly dockerd: boolean;
    readonly skein: boolean;
  }[];
};
type LabFile = {
  readonly index: number;
  readonly hosts: Readonly<Record<string, Readonly<Record<string, { readonly pid: number }>>>>;
};

const labFile = async (name: string): Promise<LabFile> =>
  JSON.parse(await readFile(`/var/lib/skein-lab/${name}/lab.json`, 'utf8')) as LabFile;
const statusOf = async (t: Test, name: string): Promise<Status> =>
  JSON.parse(await done(t, name, 'status', '-o', 'json')) as Status;

/** kubectl from the machine's own namespace, at one host of a lab. */
const kubectl = (name: string, host: string, ...args: readonly string[]) =>
  run('kubectl', [
    `--kubeconfig=/var/lib/skein-lab/${name}/kubeconfig`,
    '--context',
    host,
    ...args,
  ]);

/** A command that must fail with one line that says why. */
async function refused(t: Test, says: RegExp, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(SKEIN, ['lab', ...args]);
  t.not(code, 0, `lab ${args.join(' ')} fails`);
  t.match(stderr, says, `lab ${args.join(' ')} says why`);
  t.notMatch(stderr, /^\s+at /m, 'in words, not in a trace');
}

async function nothingLeft(t: Test, name: string, index?: number): Promise<void> {
  // The kernel takes its time to end what a namespace held.
  const left = await waitFor(
    `the end of ${name}`,
    async () => {
      const traces = await tracesOf(name, index);
      return traces.length === 0 ? traces : undefined;
    },
    5000,
  ).catch(() => tracesOf(name, index));
  t.strictSame(left, [], `nothing of ${name} is left`);
}

t.setTimeout(0);
for (const name of LABS) await claimLab(name);
const downAll = async () => {
  for (const name of LABS) await lab(name, 'down');
};
for (const signal of ['SIGTERM', 'SIGINT', 'SIGALRM'] as const) {
  process.once(signal, () => void downAll().finally(() => process.exit(1)));
}
await downAll();
t.teardown(downAll);

t.test('lab: two labs stand side by side and do not know of each other', async (t) => {
  const [first] = await Promise.all([
    done(t, A, 'up', '--nodes', '2'),
    done(t, B, 'up', '--nodes', '1'),
  ]);
  t.match(first, `export KUBECONFIG=/var/lib/skein-lab/${A}/kubeconfig`);
  const [a, b] = [await labFile(A), await labFile(B)];
  t.not(a.index, b.index, 'each has a subnet of its own');
  for (const [name, host] of [
    [A, 'node1'],
    [A, 'node2'],
    [B, 'node1'],
  ] as const) {
    const { stdout } = await kubectl(name, host, 'get', 'nodes', '-o', 'name');
    const nodes = name === A ? 'node/node1\nnode/node2\n' : 'node/node1\n';
    t.equal(stdout, nodes, `kubectl reaches ${host} of ${name} from the machine`);
  }
  await kubectl(A, 'node1', 'create', 'configmap', 'mine');
  const other = await kubectl(B, 'node1', 'get', 'configmap', 'mine');
  t.match(other.stderr, /NotFound/, 'what one knows the other does not');

  await done(t, A, 'kill', 'node2', '--whole-host');
  await done(t, A, 'isolate', 'node1');
  t.equal((await kubectl(B, 'node1', 'create', 'configmap', 'theirs')).code, 0, 'B goes on');
  await done(t, A, 'down');
  await nothingLeft(t, A, a.index);
  t.equal((await kubectl(B, 'node1', 'get', 'configmap', 'theirs')).code, 0, 'also when A is gone');
});

t.test('lab: every command may be run again', async (t) => {
  const before = await labFile(B);
  await done(t, B, 'up', '--nodes', '1');
  await done(t, B, 'start', 'node1');
  t.strictSame((await labFile(B)).hosts, before.hosts, 'what runs is left alone');
  for (const command of [
    ['heal'],
    ['heal'],
    ['kill', 'node1'],
    ['kill', 'node1'],
    ['stop', 'node1'],
  ]) {
    await done(t, B, ...command);
  }
  t.match(await statusOf(t, B), { hosts: [{ up: true, dockerd: true, skein: false }] });
  await done(t, B, 'start', 'node1');
  await done(t, B, 'stop', 'node1');
  await done(t, B, 'stop', 'node1');
  await done(t, B, 'up', '--nodes', '1');
  t.match(await statusOf(t, B), { hosts: [{ up: true, dockerd: true, skein: true }] });
  await done(t, B, 'kill', 'node1', '--whole-host');
  await done(t, B, 'kill', 'node1', '--whole-host');
  await done(t, B, 'start', 'node1');
  t.equal((await kubectl(B, 'node1', 'get', 'configmap', 'theirs')).code, 0, 'nothing was lost');
});

t.test('lab: errors name what is wrong and what to do', async (t) => {
  const named = ['--name', B];
  await refused(t, /no host "node9"; its hosts are node1/, ['kill', 'node9', ...named]);
  await refused(t, /no host "x"; its hosts are node1/, ['cut', 'node1', 'x', ...named]);
  await refused(t, /no lab "absent"; start it with: skein lab up --name absent/, [
    ...['status', '--name', 'absent'],
  ]);
  await refused(t, /no lab "absent"/, ['kill', 'leader', '--name', 'absent']);
  await refused(t, /exists with 1 nodes; take it down first/, ['up', '--nodes', '3', ...named]);
  for (const nodes of ['0', '-1', '51', 'x', '1.5', '']) {
    await refused(t, /nodes/, ['up', '--nodes', nodes, '--name', A]);
  }
  for (const name of ['UPPER', 'a_b', '../x', 'far-too-long-a-name', '']) {
    await refused(t, /--name/, ['up', '--name', name]);
  }
  for (const ms of ['x', '-5', '1e9x']) {
    await refused(t, /number|argument|option/i, ['delay', 'node1', 'node1', ms, ...named]);
  }
  await refused(t, /no link to itself/, ['delay', 'node1', 'node1', '5', ...named]);
  await refused(t, /loss/, ['delay', 'node1', 'node1', '5', '--loss', '101', ...named]);
  await refused(t, /missing required argument/, ['cut', 'node1', ...named]);
  await refused(t, /unknown command/, ['nonsense']);
  await refused(t, /neither a readable file nor an image/, ['load-image', '/nonsense', ...named]);
  await done(t, B, 'kill', 'node1', '--whole-host');
  await refused(t, /node1 is down; start it with: skein lab start node1 --name e2e-lab-b/, [
    ...['exec', ...named, 'node1', '--', 'true'],
  ]);
  await nothingLeft(t, A);
  const { index } = await labFile(B);
  await done(t, B, 'down');
  await nothingLeft(t, B, index);
  t.match((await lab(B, 'down')).stderr, /there is no lab/, 'down says when there is nothing');
});

t.test('lab: down removes what crashed', async (t) => {
  await done(t, A, 'up', '--nodes', '2');
  const { index, hosts } = await labFile(A);
  await done(t, A, 'delay', 'node1', 'node2', '5');
  const { node1, node2 } = hosts;
  for (const id of [node1?.['skein'], node1?.['dockerd'], node2?.['init']]) {
    if (id === undefined) t.fail('a process is missing in the books');
    else process.kill(id.pid, 'SIGKILL');
  }
  t.not((await tracesOf(A, index)).length, 0, 'there is something to remove');
  await done(t, A, 'down');
  await nothingLeft(t, A, index);
});

t.test('lab: an up that is killed half way can be completed, or taken down', async (t) => {
  for (const [at, ms] of KILL_UP_AFTER_MS.entries()) {
    const { code } = await run(SKEIN, ['lab', 'up', '--nodes', '1', '--name', A], ms);
    t.comment(`up was ${code === 137 ? 'killed' : 'done'} after ${ms} ms`);
    if (at % 2 === 1) {
      await done(t, A, 'up', '--nodes', '1');
      t.equal((await kubectl(A, 'node1', 'get', 'nodes')).code, 0, 'it was completed');
      const { stdout } = await run(SKEIN, [
        ...['lab', 'exec', '--name', A, 'node1', '--', 'pgrep', '-xc', 'dockerd'],
      ]);
      t.equal(stdout.trim(), '1', 'with one Docker daemon');
    }
    await done(t, A, 'down');
    await nothingLeft(t, A);
  }
});

t.test('lab: a down that is killed half way can be run again', async (t) => {
  for (const ms of KILL_DOWN_AFTER_MS) {
    await done(t, A, 'up', '--nodes', '1');
    const { index } = await labFile(A);
    await run(SKEIN, ['lab', 'down', '--name', A], ms);
    await done(t, A, 'down');
    await nothingLeft(t, A, index);
  }
});
