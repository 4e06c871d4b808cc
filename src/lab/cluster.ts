/** A running lab as those see it who break it: hosts, who leads, and every fault as a method. */

import { type ChildProcess, spawn } from 'node:child_process';
import { callControl } from '../cli/control-client.ts';
import type { NodeStatusReport } from '../cli/status-types.ts';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import type { DiskCondition } from './disk-condition.ts';
import {
  type LabKilled,
  labClock,
  labDisk,
  labHeal,
  labKill,
  labPause,
  labResume,
} from './faults.ts';
import { enterHost } from './host.ts';
import { readFaults } from './host-faults.ts';
import { labReaddress, labStart, labStop } from './lifecycle.ts';
import { labCut, labDelay, labIsolate } from './link-faults.ts';
import { type HostPlan, hostOf, type LabPlan } from './plan.ts';
import { controlSocketOf } from './session.ts';
import { loadLab } from './state.ts';
import { waitUntil } from './wait.ts';

export type Output = { readonly code: number; readonly stdout: string; readonly stderr: string };

const DEADLINE_MS = 60_000;
const STATUS_DEADLINE_MS = 1_000;
/** What a shell shows for a program that SIGKILL ended. */
const KILLED_CODE = 137;

export class LabCluster {
  readonly name: string;
  readonly kubeconfig: string;
  #plan: LabPlan;

  protected constructor(name: string, plan: LabPlan) {
    this.name = name;
    this.kubeconfig = `${plan.dir}/kubeconfig`;
    this.#plan = plan;
  }

  /** The lab of this name, which runs. */
  static async open(name: string): Promise<LabCluster> {
    return new LabCluster(name, (await loadLab(name)).plan);
  }

  /** The names of all hosts. */
  get hosts(): readonly string[] {
    return this.#plan.hosts.map(({ name }) => name);
  }

  address(host: string): string {
    return this.#host(host).address;
  }

  /** Where a host keeps its files: `skein.log`, and `root/` with its own directories. */
  directory(host: string): string {
    return this.#host(host).dir;
  }

  /** The status a host's process gives of the cluster, or undefined when it does not answer. */
  status(host: string): Promise<NodeStatusReport | undefined> {
    return callControl<NodeStatusReport>(controlSocketOf(this.#host(host)), {
      method: 'GET',
      path: '/status',
      deadlineMs: STATUS_DEADLINE_MS,
    }).catch(() => undefined);
  }

  /** The host that leads, by the newest term; waits for one. */
  leader(deadlineMs = DEADLINE_MS): Promise<string> {
    return waitUntil('a leader', () => this.leaderNow(), { deadlineMs });
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
    const { state } = await loadLab(this.name);
    const pid = state.hosts[host]?.skein?.pid;
    if (pid === undefined) throw new SkeinError('config-invalid', `no skein process on ${host}`);
    return pid;
  }

  /** Resolves when every host answers with the same leader and the same revision, and hears a quorum. */
  settled(deadlineMs = DEADLINE_MS): Promise<readonly NodeStatusReport[]> {
    return waitUntil(
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
      { deadlineMs },
    );
  }

  kill(host: string, wholeHost = false): Promise<LabKilled> {
    return labKill({ name: this.name, host, wholeHost });
  }

  stopHost(host: string): Promise<void> {
    return labStop(this.name, host);
  }

  /** @param flags further ones for this start of `skein up`. */
  startHost(host: string, flags: readonly string[] = []): Promise<void> {
    return labStart({ name: this.name, host, flags });
  }

  /** Stops a host's Skein process in its tracks, or lets it go on, as an overloaded machine would. */
  async pause(host: string, paused: boolean): Promise<void> {
    if (paused) await labPause(this.name, host);
    else await labResume(this.name, host);
  }

  cut(a: string, b: string): Promise<void> {
    return labCut(this.name, [a, b]);
  }

  /** Nothing that `from` sends reaches `to` any more. */
  cutOneWay(from: string, to: string): Promise<void> {
    return labCut(this.name, [from, to], { oneWay: true });
  }

  isolate(host: string): Promise<void> {
    return labIsolate(this.name, host);
  }

  /** Slows the link between two hosts down, each way, and loses a share of its frames. */
  delay(a: string, b: string, delayMs: number, lossPercent = 0): Promise<void> {
    return labDelay(this.name, { a, b, delayMs, lossPercent });
  }

  /** Puts the disk of a host's Skein process into a condition; the lab must have been started with faults. */
  async disk(host: string, condition: DiskCondition): Promise<void> {
    await labDisk(this.name, host, condition);
  }

  /** How often calls of a host's Skein process met a fault of its disk, over its whole life. */
  async diskFaultsMet(host: string): Promise<number> {
    const { sync = 0, write = 0, change = 0 } = (await readFaults(this.#host(host)))?.met ?? {};
    return sync + write + change;
  }

  /** Sets a host's wall clock ahead by this much; behind when negative. The lab must have been started with faults. */
  async clock(host: string, offsetMs: number): Promise<void> {
    await labClock(this.name, host, offsetMs);
  }

  /** Ends every fault that lasts. */
  heal(): Promise<void> {
    return labHeal(this.name);
  }

  /** Gives a host another address, and learns it. Its Skein process must be started anew. */
  async readdress(host: string, address: string): Promise<void> {
    await labReaddress(this.name, host, address);
    this.#plan = (await loadLab(this.name)).plan;
  }

  /** Starts a program on a host, its output in pipes; ends with the host at the latest. */
  async spawnOnHost(host: string, command: readonly string[]): Promise<ChildProcess> {
    const args = [...(await this.#entrance(host)), ...command];
    return spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs a program on a host and answers how it went. */
  async tryOnHost(
    host: string,
    command: readonly string[],
    deadlineMs = DEADLINE_MS,
  ): Promise<Output> {
    const child = await this.spawnOnHost(host, command);
    return outputOf(child, deadlineMs);
  }

  /** Runs a program on a host and resolves with its output. */
  async onHost(host: string, command: readonly string[]): Promise<string> {
    return runCommand('nsenter', [...(await this.#entrance(host)), ...command]);
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

  #host(name: string): HostPlan {
    return hostOf(this.#plan, name);
  }

  async #entrance(host: string): Promise<string[]> {
    const { state } = await loadLab(this.name);
    const init = state.hosts[host]?.init;
    if (!init) throw new SkeinError('config-invalid', `host ${host} is down`);
    return enterHost(init);
  }
}

/** What a program says until it ends; killed at the deadline. */
export function outputOf(child: ChildProcess, deadlineMs: number): Promise<Output> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8');
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? KILLED_CODE, stdout, stderr });
    });
  });
}
