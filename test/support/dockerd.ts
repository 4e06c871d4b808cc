/** A Docker daemon of a test's own, in a network namespace of its own, and its complete removal. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { busyboxTar } from '../../agents/node/pods/runtime/sandbox-image.ts';
import { runCommand } from '../../src/lib/command.ts';

export type TestDockerd = {
  readonly socketPath: string;
  readonly docker: Docker;
  readonly netns: string;
  /** A directory that goes with the daemon. */
  readonly directory: string;
  /** Imports an image that holds busybox under the given applets. */
  importBusybox(name: string): Promise<void>;
  /** Stops the daemon, which ends its containers, and starts it again. */
  restart(): Promise<void>;
  /** Ends everything the daemon started and removes every trace. */
  stop(): Promise<void>;
};

const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 15_000;
const POLL_MS = 50;
const APPLETS = ['sh', 'sleep', 'cat', 'echo', 'ls', 'id', 'wget', 'nc', 'true', 'false', 'test'];
const TEST_APPLETS = [
  ...APPLETS,
  'touch',
  'rm',
  'stat',
  'hostname',
  'env',
  'kill',
  'mkdir',
  'df',
  'httpd',
];

let started = 0;

/** Starts a daemon; it answers when this resolves. Call `stop` also when a test fails. */
export async function startDockerd(): Promise<TestDockerd> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-dockerd-'));
  const netns = `sk-dockerd-${process.pid}-${started++}`;
  await runCommand('ip', ['netns', 'add', netns]);
  await runCommand('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
  const daemon = new Daemon(directory, netns);
  try {
    await daemon.start();
  } catch (error) {
    await daemon.remove();
    throw error;
  }
  return {
    directory,
    netns,
    socketPath: daemon.socketPath,
    docker: daemon.docker,
    importBusybox: (name) => daemon.importBusybox(name),
    restart: async () => {
      await daemon.end('SIGTERM');
      await daemon.start();
    },
    stop: () => daemon.remove(),
  };
}

class Daemon {
  readonly socketPath: string;
  readonly docker: Docker;
  readonly #directory: string;
  readonly #netns: string;
  #process: ChildProcess | undefined;
  #log = '';

  constructor(directory: string, netns: string) {
    this.#directory = directory;
    this.#netns = netns;
    this.socketPath = join(directory, 'd.sock');
    this.docker = new Docker({ socketPath: this.socketPath });
  }

  async start(): Promise<void> {
    const at = (name: string) => join(this.#directory, name);
    await rm(at('pid'), { force: true });
    const daemon = ['/usr/sbin/dockerd', '--bridge', 'none', '--iptables=false'];
    const places = ['--data-root', at('root'), '--exec-root', at('exec'), '-p', at('pid')];
    const listen = ['-H', `unix://${this.socketPath}`];
    this.#process = spawn(
      'nsenter',
      [`--net=/run/netns/${this.#netns}`, ...daemon, ...places, ...listen],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString()).slice(-4000);
    });
    await until('the Docker daemon answers', START_DEADLINE_MS, async () => {
      if (this.#process?.exitCode !== null) throw new Error(`dockerd ended: ${this.#log}`);
      return this.docker.ping().then(
        () => true,
        () => false,
      );
    });
  }

  async importBusybox(name: string): Promise<void> {
    const [repo = name, tag = 'latest'] = name.split(':');
    const tar = (await busyboxTar(TEST_APPLETS)) as unknown as string;
    const stream = await this.docker.importImage(tar, { repo, tag });
    for await (const _ of stream); // The image exists at the end of the answer.
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
    await ended;
    clearTimeout(late);
  }

  async remove(): Promise<void> {
    const left = await this.docker.listContainers({ all: true }).catch(() => []);
    await Promise.allSettled(
      left.map(({ Id }) => this.docker.getContainer(Id).remove({ force: true })),
    );
    await this.end('SIGTERM');
    // containerd and its shims outlive a daemon that was killed.
    for (const pid of await processesBelow(this.#directory)) kill(pid);
    await until('processes of the daemon are gone', STOP_DEADLINE_MS, async () => {
      return (await processesBelow(this.#directory)).length === 0;
    }).catch(() => {});
    for (const point of await mountsBelow(this.#directory)) {
      await runCommand('umount', ['-l', point]).catch(() => {});
    }
    await runCommand('ip', ['netns', 'del', this.#netns]).catch(() => {});
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Waits for a condition; rejects with what was waited for at the deadline. */
export async function until(
  what: string,
  deadlineMs: number,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Processes whose command line names the directory: ours alone, its name is unique. */
async function processesBelow(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    const root = await readlink(`/proc/${entry}/cwd`).catch(() => '');
    if (line.includes(`${directory}/`) || root.startsWith(`${directory}/`))
      found.push(Number(entry));
  }
  return found;
}

async function mountsBelow(directory: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
