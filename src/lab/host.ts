/**
 * One lab host: namespaces for network, mounts, processes and host name. Process 1 of the host's pid namespace holds it
 * together: when it dies the kernel kills everything on the host, containers included, and its mounts vanish. The
 * network namespace alone has a name, so that it can be plugged in.
 */

import { spawn } from 'node:child_process';
import { mkdir, readFile, rmdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import { childOf, launch, START_DEADLINE_MS, waitFor } from './launch.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import { type ProcessId, signalProcess, waitGone } from './processes.ts';
import type { HostProcesses } from './state.ts';
import { endAllIn } from './strays.ts';

/** Directories a host has for itself, in place of the machine's. */
const OWN_DIRECTORIES = [
  '/var/lib/docker',
  '/var/lib/skein',
  '/var/lib/skein-machine',
  '/var/lib/cni',
  '/etc/cni',
];

/** What a shell answers for a program that a signal ended: this and the signal's number. */
const SIGNAL_EXIT_BASE = 128;

/** A text as one word of a shell script. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The script of process 1: sets the host's mounts up, then reaps orphans until it is killed. */
export function initScript(host: HostPlan): string {
  const binds = OWN_DIRECTORIES.map((path) => {
    const own = quoted(`${host.dir}/root${path}`);
    return `mkdir -p ${path} ${own} && mount --bind ${own} ${path}`;
  });
  const resolvConf = quoted(`${host.dir}/resolv.conf`);
  return [
    'set -e',
    'mount --make-rprivate /',
    ...binds,
    // No name server answers in a lab; asking the machine's would only take long to fail.
    `echo '# a lab has no name server' > ${resolvConf}`,
    `mount --bind ${resolvConf} /etc/resolv.conf`,
    // Last: hides /run/netns and the machine's Docker socket. The flag file says that all is in place.
    'mount -t tmpfs -o mode=755,size=64m tmpfs /run',
    'mkdir -p /run/lock',
    `hostname ${quoted(host.name)}`,
    'echo up > /run/host-ready',
    'set +e',
    'while :; do sleep 2147483647 & wait $!; done',
  ].join('\n');
}

/** Arguments for nsenter that lead into the host. */
export function enterHost(init: ProcessId): string[] {
  return ['-t', String(init.pid), '--net', '--mount', '--pid', '--uts', '--'];
}

/** A path inside the host as seen from the machine. */
export function pathInHost(init: ProcessId, path: string): string {
  return `/proc/${init.pid}/root${path}`;
}

/** Starts process 1 of a host that is plugged in; its mounts take a moment (waitForInit). */
export async function startInit(host: HostPlan): Promise<ProcessId> {
  await mkdir(host.dir, { recursive: true, mode: 0o700 });
  const unshare = ['--mount', '--pid', '--uts', '--fork', '--mount-proc', '--kill-child'];
  const start = {
    what: `host ${host.name}`,
    program: 'nsenter',
    args: [`--net=/run/netns/${host.netns}`, 'unshare', ...unshare, 'bash', '-c', initScript(host)],
    logFile: `${host.dir}/init.log`,
  };
  return childOf(await launch(start), start);
}

/** Waits until the mounts of a host that was started are in place. */
export async function waitForInit(host: HostPlan, init: ProcessId): Promise<void> {
  const ready = pathInHost(init, '/run/host-ready');
  const waiting = { what: `host ${host.name}`, logFile: `${host.dir}/init.log`, process: init };
  await waitFor(waiting, () =>
    readFile(ready, 'utf8').then(
      (text) => text === 'up\n',
      () => false,
    ),
  );
}

/** Ends everything on the host at once, as a power cut does. */
export async function killHost(host: HostPlan, { init }: HostProcesses): Promise<void> {
  await signalProcess(init, 'SIGKILL');
  const gone = await waitGone(init, START_DEADLINE_MS);
  await endAllIn(host.netns);
  if (gone) return;
  throw new SkeinError('deadline-exceeded', `process ${init?.pid} of a host outlives SIGKILL`);
}

/** Runs a program on the host with this terminal; resolves with the exit code that a shell would show. */
export function execInHost(init: ProcessId, command: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('nsenter', [...enterHost(init), ...command], { stdio: 'inherit' });
    // Ctrl-C is for the program: it decides whether it ends, and with which code.
    const leave = () => {};
    process.on('SIGINT', leave);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('SIGINT', leave);
      resolve(signal ? SIGNAL_EXIT_BASE + constants.signals[signal] : (code ?? 1));
    });
  });
}

/** The control group below which everything of the host's containers lives. */
export function cgroupOf(plan: LabPlan, host: HostPlan): string {
  return `/skein-lab-${plan.name}-${host.name}`;
}

/** Removes the control groups that the host's containers lived in; the host must be dead. */
export async function removeCgroups(plan: LabPlan, host: HostPlan): Promise<void> {
  const name = cgroupOf(plan, host).slice(1);
  // Version 1 has a tree per controller, version 2 one for all.
  const find = ['/sys/fs/cgroup', '-maxdepth', '2', '-type', 'd', '-name', name];
  for (const root of await linesOf('find', find)) {
    for (const path of await linesOf('find', [root, '-depth', '-type', 'd'])) {
      await rmdir(path).catch(() => {}); // A group that is busy for a moment is no reason to fail.
    }
  }
}

async function linesOf(program: string, args: readonly string[]): Promise<string[]> {
  const text = await runCommand(program, args).catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}
