/**
 * One lab host: namespaces for network, mounts, processes and host name, with a dockerd and a Skein
 * process inside. Process 1 of the host's pid namespace holds it together: when it dies the kernel
 * kills everything on the host, containers included, and its mounts vanish. The network namespace
 * alone has a name, so that it can be plugged in.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile, rm, rmdir } from 'node:fs/promises';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import {
  type HostProcesses,
  identify,
  isAlive,
  type ProcessId,
  signalProcess,
  waitGone,
} from './state.ts';

const START_DEADLINE_MS = 20_000;
const POLL_MS = 20;
const LAUNCHER = new URL('../../scripts/skein', import.meta.url).pathname;

/** Directories a host has for itself, in place of the machine's. */
const OWN_DIRECTORIES = ['/var/lib/docker', '/var/lib/skein', '/var/lib/cni', '/etc/cni'];

/** The script of process 1: sets the host's mounts up, then reaps orphans until it is killed. */
function initScript(host: HostPlan): string {
  const binds = OWN_DIRECTORIES.map((path) => {
    const own = `${host.dir}/root${path}`;
    return `mkdir -p '${path}' '${own}' && mount --bind '${own}' '${path}'`;
  });
  return [
    'set -e',
    'mount --make-rprivate /',
    ...binds,
    // No name server answers in a lab; asking the machine's would only take long to fail.
    `echo '# a lab has no name server' > '${host.dir}/resolv.conf'`,
    `mount --bind '${host.dir}/resolv.conf' /etc/resolv.conf`,
    // Last: hides /run/netns and the machine's Docker socket. The flag file says that all is in place.
    'mount -t tmpfs -o mode=755,size=64m tmpfs /run',
    'mkdir -p /run/lock',
    `hostname '${host.name}'`,
    'echo up > /run/host-ready',
    'set +e',
    'while :; do sleep 2147483647 & wait $!; done',
  ].join('\n');
}

async function childOf(parent: ChildProcess, what: string): Promise<ProcessId> {
  const deadline = performance.now() + START_DEADLINE_MS;
  let failure: string | undefined;
  parent.once('error', (error) => {
    failure = error.message;
  });
  parent.once('exit', (code) => {
    failure ??= `exited with code ${code}`;
  });
  for (;;) {
    const children = await readFile(
      `/proc/${parent.pid}/task/${parent.pid}/children`,
      'utf8',
    ).catch(() => '');
    const id = children === '' ? undefined : await identify(Number(children.trim().split(' ')[0]));
    if (id) return id;
    if (failure || performance.now() > deadline) {
      throw new SkeinError('command-failed', `${what} did not start: ${failure ?? 'timed out'}`);
    }
    await pause();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/** Starts a program detached from us, its output appended to `logFile`. */
async function launch(
  program: string,
  args: readonly string[],
  logFile: string,
): Promise<ChildProcess> {
  const log = await open(logFile, 'a', 0o600);
  try {
    const child = spawn(program, [...args], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
    });
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

/** Arguments for nsenter that lead into the host. */
export function enterHost(init: ProcessId): string[] {
  return ['-t', String(init.pid), '--net', '--mount', '--pid', '--uts', '--'];
}

/** A path inside the host as seen from the machine. */
export function pathInHost(init: ProcessId, path: string): string {
  return `/proc/${init.pid}/root${path}`;
}

export async function startInit(host: HostPlan): Promise<ProcessId> {
  await mkdir(host.dir, { recursive: true, mode: 0o700 });
  const script = ['bash', '-c', initScript(host)];
  const unshare = ['--mount', '--pid', '--uts', '--fork', '--mount-proc', '--kill-child'];
  const parent = await launch(
    'nsenter',
    [`--net=/run/netns/${host.netns}`, 'unshare', ...unshare, ...script],
    `${host.dir}/init.log`,
  );
  const init = await childOf(parent, `host ${host.name}`);
  await waitFor(`host ${host.name}`, `${host.dir}/init.log`, init, () =>
    readFile(pathInHost(init, '/run/host-ready'), 'utf8').then(
      () => true,
      () => false,
    ),
  );
  return init;
}

export async function startDockerd(
  plan: LabPlan,
  host: HostPlan,
  init: ProcessId,
): Promise<ProcessId> {
  const log = `${host.dir}/dockerd.log`;
  const args = [
    ...enterHost(init),
    'dockerd',
    '--bridge=none',
    '--iptables=false',
    '--ip-forward=false',
    '--live-restore',
    `--cgroup-parent=${cgroupOf(plan, host)}`,
    '--host=unix:///var/run/docker.sock',
  ];
  // A host that died leaves pid files that mean another process now.
  for (const stale of ['docker.pid', 'docker/containerd/containerd.pid']) {
    await rm(pathInHost(init, `/run/${stale}`), { force: true });
  }
  const dockerd = await childOf(await launch('nsenter', args, log), `dockerd of ${host.name}`);
  const { default: Docker } = await import('dockerode');
  const client = new Docker({ socketPath: pathInHost(init, '/run/docker.sock') });
  await waitFor(`dockerd of ${host.name}`, log, dockerd, () =>
    client.ping().then(
      () => true,
      () => false,
    ),
  );
  return dockerd;
}

/** Starts Skein with the given arguments (`up ...` or `join ...`); does not wait for readiness. */
export async function startSkein(
  host: HostPlan,
  init: ProcessId,
  args: readonly string[],
): Promise<ProcessId> {
  const child = await launch(
    'nsenter',
    [...enterHost(init), LAUNCHER, ...args],
    `${host.dir}/skein.log`,
  );
  return childOf(child, `skein on ${host.name}`);
}

/** Waits until `ready` answers true; fails early, quoting the log's end, when the process dies. */
export async function waitFor(
  what: string,
  logFile: string,
  process: ProcessId,
  ready: () => Promise<boolean>,
  deadlineMs = START_DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await ready())) {
    const alive = await isAlive(process);
    if (!alive || performance.now() > deadline) {
      const tail = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n').slice(-5);
      const verb = alive ? `is not ready after ${deadlineMs / 1000} s` : 'ended';
      throw new SkeinError(
        'command-failed',
        `${what} ${verb}; the end of ${logFile}:\n${tail.join('\n')}`,
      );
    }
    await pause();
  }
}

/** Ends everything on the host at once, as a power cut does. */
export async function killHost(processes: HostProcesses): Promise<void> {
  await signalProcess(processes.init, 'SIGKILL');
  await waitGone(processes.init, START_DEADLINE_MS);
}

/** Runs a program on the host with this terminal; resolves with its exit code. */
export function execInHost(init: ProcessId, command: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('nsenter', [...enterHost(init), ...command], { stdio: 'inherit' });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ? 128 : (code ?? 1)));
  });
}

/** Runs a program on the host and resolves with its output. */
export function runInHost(init: ProcessId, command: readonly string[]): Promise<string> {
  return runCommand('nsenter', [...enterHost(init), ...command]);
}

function cgroupOf(plan: LabPlan, host: HostPlan): string {
  return `/skein-lab-${plan.name}-${host.name}`;
}

/** Removes the control groups that the host's containers lived in; the host must be dead. */
export async function removeCgroups(plan: LabPlan, host: HostPlan): Promise<void> {
  const roots = await runCommand('sh', [
    '-c',
    `find /sys/fs/cgroup -maxdepth 2 -type d -name 'skein-lab-${plan.name}-${host.name}'`,
  ]).catch(() => '');
  for (const root of roots.split('\n').filter((line) => line !== '')) {
    const inner = await runCommand('find', [root, '-depth', '-type', 'd']).catch(() => '');
    for (const path of inner.split('\n').filter((line) => line !== '')) {
      await rmdir(path).catch(() => {}); // A group that is busy for a moment is no reason to fail.
    }
  }
}
