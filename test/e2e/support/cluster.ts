/**
 * A lab cluster for one test file: real hosts, real containers, real kubectl. It ends with the file, also when
 * the file fails or is told to stop.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import { buildImages } from '../../../scripts/lib/images.ts';
import { callControl } from '../../../src/cli/control-client.ts';
import type { NodeStatusReport } from '../../../src/cli/status-types.ts';
import * as lab from '../../../src/lab/index.ts';
import { planOf, readState } from '../../../src/lab/state.ts';
import { runCommand } from '../../../src/lib/command.ts';
import { claimLab } from './claim.ts';

export type ClusterOptions = {
  /** Names the lab; 12 characters at most, one per test file. */
  readonly name: string;
  /** Default 3. */
  readonly nodes?: number;
  /** Further flags for every node. */
  readonly flags?: readonly string[];
  /** Put the test images on every host. Default true; tests without pods save the time. */
  readonly images?: boolean;
  /** How Docker is set up on the hosts. Default bare. */
  readonly docker?: lab.DockerSetup;
};

export type Output = { readonly code: number; readonly stdout: string; readonly stderr: string };

export type KubectlOptions = {
  readonly input?: string;
  /** Ask this host's API rather than the current context's. */
  readonly host?: string;
  /** Default 60 s. */
  readonly deadlineMs?: number;
};

const DEADLINE_MS = 60_000;
const POLL_MS = 50;
const quiet = (): void => {};

export class TestCluster {
  readonly name: string;
  readonly kubeconfig: string;

  private constructor(name: string, kubeconfig: string) {
    this.name = name;
    this.kubeconfig = kubeconfig;
  }

  /** Brings a fresh lab up with the test images on every host; it goes down with `t`. */
  static async start(t: Test, options: ClusterOptions): Promise<TestCluster> {
    const { name, nodes = 3, flags = [], images = true, docker = 'bare' } = options;
    // The runner's deadline is the only one: tap's default of 30 s suits no lab.
    t.setTimeout(0);
    await claimLab(name);
    const end = () => lab.labDown(name, quiet);
    await end();
    t.teardown(end);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGALRM'] as const) {
      process.once(signal, () => void end().finally(() => process.exit(1)));
    }
    const kubeconfig = await lab.labUp({ name, nodes, flags, docker, report: quiet });
    const cluster = new TestCluster(name, kubeconfig);
    await cluster.locate();
    if (!images) return cluster;
    const directory = await mkdtemp(`${tmpdir()}/skein-images-`);
    try {
      await writeFile(`${directory}/images.tar`, await buildImages());
      await lab.labLoadImage(name, `${directory}/images.tar`, quiet);
    } finally {
      await rm(directory, { recursive: true });
    }
    return cluster;
  }

  /** Runs kubectl; rejects with what it said when it fails. */
  async kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(args, options);
    if (code === 0) return stdout;
    throw new Error(`kubectl ${args.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}`);
  }

  /** Runs kubectl and answers how it went. */
  tryKubectl(args: readonly string[], options: KubectlOptions = {}): Promise<Output> {
    const { input, host, deadlineMs = DEADLINE_MS } = options;
    const context = host === undefined ? [] : ['--context', host];
    return new Promise((resolve, reject) => {
      const child = spawn('kubectl', [...context, ...args], {
        env: { ...process.env, KUBECONFIG: this.kubeconfig },
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
      });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString('utf8');
      });
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString('utf8');
      });
      child.once('error', reject);
      child.once('close', (code) => resolve({ code: code ?? 137, stdout, stderr }));
      child.stdin.on('error', quiet);
      child.stdin.end(input ?? '');
    });
  }

  /** An object as kubectl gets it. */
  async get<T>(
    kind: string,
    name: string,
    options: KubectlOptions & { namespace?: string } = {},
  ): Promise<T> {
    const namespace = options.namespace === undefined ? [] : ['-n', options.namespace];
    return JSON.parse(
      await this.kubectl(['get', kind, name, '-o', 'json', ...namespace], options),
    ) as T;
  }

  /** Applies YAML or JSON text. */
  apply(text: string, options: KubectlOptions = {}): Promise<string> {
    return this.kubectl(['apply', '-f', '-'], { ...options, input: text });
  }

  address(host: string): string {
    const found = this.#plan?.hosts.find((candidate) => candidate.name === host);
    if (!found) throw new Error(`no host ${host}`);
    return found.address;
  }

  /** The status a host's process gives of the cluster, or undefined when it does not answer. */
  status(host: string): Promise<NodeStatusReport | undefined> {
    const found = this.#plan?.hosts.find((candidate) => candidate.name === host);
    if (!found) throw new Error(`no host ${host}`);
    return callControl<NodeStatusReport>(lab.controlSocketOf(found), {
      method: 'GET',
      path: '/status',
      deadlineMs: 1000,
    }).catch(() => undefined);
  }

  #plan: ReturnType<typeof planOf> | undefined;

  /** The names of all hosts. */
  get hosts(): readonly string[] {
    return (this.#plan?.hosts ?? []).map(({ name }) => name);
  }

  /** Where a host keeps its files: `skein.log`, and `root/` with its own directories. */
  directory(host: string): string {
    const found = this.#plan?.hosts.find((candidate) => candidate.name === host);
    if (!found) throw new Error(`no host ${host}`);
    return found.dir;
  }

  /** Reads where the hosts are, and their names. */
  async locate(): Promise<readonly string[]> {
    const state = await readState(this.name);
    if (!state) throw new Error(`lab ${this.name} is gone`);
    this.#plan = planOf(this.name, state);
    return this.#plan.hosts.map((host) => host.name);
  }

  /** The host that leads, by the newest term; waits for one. */
  leader(): Promise<string> {
    return waitFor('a leader', () => this.leaderNow());
  }

  /** The host that leads at this moment, by the newest term. */
  async leaderNow(): Promise<string | undefined> {
    const statuses = await Promise.all(this.hosts.map((host) => this.status(host)));
    const leading = statuses.filter((status) => status?.role === 'leader' && status.quorum);
    leading.sort((a, b) => (b?.term ?? 0) - (a?.term ?? 0));
    return leading[0]?.node;
  }

  /** The process id of a host's Skein process, as this machine sees it. */
  async pid(host: string): Promise<number> {
    const state = await readState(this.name);
    const pid = state?.hosts[host]?.skein?.pid;
    if (pid === undefined) throw new Error(`no skein process on ${host}`);
    return pid;
  }

  /** Resolves when every host answers with the same leader and the same revision, and is its voter again. */
  async settled(deadlineMs = DEADLINE_MS): Promise<readonly NodeStatusReport[]> {
    return waitFor(
      'all hosts to agree',
      async () => {
        const all = await Promise.all(this.hosts.map((host) => this.status(host)));
        const statuses = all.filter((status) => status !== undefined);
        const first = statuses[0];
        if (first === undefined || statuses.length < all.length) {
          throw new Error(`${statuses.length} of ${all.length} hosts answer`);
        }
        const views = statuses.map(
          ({ leader, term, revision, quorum }) =>
            `${leader?.node} ${term} ${revision} ${quorum ? 'quorum' : 'no quorum'}`,
        );
        const agreed = new Set(views).size === 1 && first.quorum;
        if (!agreed) throw new Error(views.join(', '));
        return statuses;
      },
      deadlineMs,
    );
  }

  /** Stops a host's Skein process in its tracks, or lets it go on, as an overloaded machine would. */
  async pause(host: string, paused: boolean): Promise<void> {
    const pid = await this.pid(host);
    process.kill(pid, paused ? 'SIGSTOP' : 'SIGCONT');
    if (paused) return;
    // nsenter, which waits for it, stops itself together with its child.
    const parent = /^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
    if (parent !== undefined) process.kill(Number(parent), 'SIGCONT');
  }

  kill(host: string, wholeHost = false): Promise<string> {
    return lab.labKill({ name: this.name, host, wholeHost });
  }

  stopHost(host: string): Promise<void> {
    return lab.labStop(this.name, host);
  }

  /** @param flags further ones for this start of `skein up`. */
  startHost(host: string, flags: readonly string[] = []): Promise<void> {
    return lab.labStart({ name: this.name, host, flags });
  }

  /** Gives a host another address, and learns it. Its Skein process must be started anew. */
  async readdress(host: string, address: string): Promise<void> {
    await lab.labReaddress(this.name, host, address);
    await this.locate();
  }

  cut(a: string, b: string): Promise<void> {
    return lab.labCut(this.name, a, b);
  }

  isolate(host: string): Promise<void> {
    return lab.labIsolate(this.name, host);
  }

  /** Slows the link between two hosts down, each way, and loses a share of its frames. */
  delay(a: string, b: string, delayMs: number, lossPercent = 0): Promise<void> {
    return lab.labDelay(this.name, { a, b, delayMs, lossPercent });
  }

  heal(): Promise<void> {
    return lab.labHeal(this.name);
  }

  /** Starts a program on a host, its output in pipes; ends with the host at the latest. */
  async spawnOnHost(host: string, command: readonly string[]): Promise<ChildProcess> {
    const state = await readState(this.name);
    const init = state?.hosts[host]?.init;
    if (!init) throw new Error(`host ${host} is down`);
    const enter = ['-t', String(init.pid), '--net', '--mount', '--pid', '--uts', '--'];
    return spawn('nsenter', [...enter, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs a program on a host and answers how it went. */
  async tryOnHost(
    host: string,
    command: readonly string[],
    deadlineMs = DEADLINE_MS,
  ): Promise<Output> {
    const child = await this.spawnOnHost(host, command);
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8');
    });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(timer);
        resolve({ code: code ?? 137, stdout, stderr });
      });
    });
  }

  /** Runs a program on a host and resolves with its output. */
  async onHost(host: string, command: readonly string[]): Promise<string> {
    const state = await readState(this.name);
    const init = state?.hosts[host]?.init;
    if (!init) throw new Error(`host ${host} is down`);
    const enter = ['-t', String(init.pid), '--net', '--mount', '--pid', '--uts', '--'];
    return runCommand('nsenter', [...enter, ...command]);
  }

  /** Ids and start times of the containers of a host: unchanged means untouched. */
  async containers(host: string): Promise<readonly string[]> {
    const format = '{{.ID}} {{.CreatedAt}}';
    const text = await this.onHost(host, ['docker', 'ps', '--no-trunc', '--format', format]);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  }
}

/** Polls until `probe` answers something; rejects naming `what` (and the last error) at the deadline. */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  let failure = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      failure = `: ${(error as Error).message}`;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${deadlineMs / 1000} s in vain for ${what}${failure}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
