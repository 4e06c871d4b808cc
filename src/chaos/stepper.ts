/** Does the steps of a schedule: begins faults, waits, mends everything, and waits until all is well. */

import type { LabCluster } from '../lab/cluster.ts';
import { pause } from '../lab/processes.ts';
import { waitUntil } from '../lab/wait.ts';
import { messageOf } from '../lib/errors.ts';
import type { Availability } from './availability.ts';
import { faultOf } from './fault-kinds.ts';
import type { Harm } from './harm.ts';
import type { PlannedFault, Step } from './schedule.ts';
import { type StepOutcome, seconds } from './verdict.ts';

export type StepperComponents = {
  readonly cluster: LabCluster;
  readonly harm: Harm;
  readonly availability: Availability;
  readonly report: (line: string) => void;
};

/** Whatever happens to a minority, writes go on within this time. */
const PAUSE_MS_MAX = 15_000;
const UP_DEADLINE_MS = 90_000;
const RECOVERY_DEADLINE_MS = 60_000;
const LEADER_DEADLINE_MS = 5_000;

export class Stepper {
  readonly outcomes: StepOutcome[] = [];
  /** Pauses of writes that were too long, in words. */
  readonly pauses: string[] = [];
  /** Faults that were not recovered from, in words. */
  readonly unrecovered: string[] = [];
  readonly #components: StepperComponents;

  constructor(components: StepperComponents) {
    this.#components = components;
  }

  /** Does the steps until the signal fires. A fault that is not recovered from ends it: what follows would say nothing. */
  async run(steps: Iterable<Step>, end: AbortSignal): Promise<void> {
    for (const step of steps) {
      if (end.aborted) return;
      try {
        await this.#step(step, end);
      } catch (error) {
        this.unrecovered.push(`step ${step.number}: ${messageOf(error)}`);
        this.#components.report(`FAILED: ${messageOf(error)}`);
        // The audit wants to see every host, if that is possible at all.
        await this.#mend().catch(() => {});
        return;
      }
      await pause(step.quietMs, end);
    }
  }

  async #step(step: Step, end: AbortSignal): Promise<void> {
    const { availability, cluster, report } = this.#components;
    const fromMs = performance.now();
    const lasting = AbortSignal.any([end, AbortSignal.timeout(step.lastMs)]);
    const over: (() => void)[] = [];
    for (const fault of step.faults) over.push(await this.#begin(step, fault, lasting));
    await pause(Math.max(0, step.lastMs - (performance.now() - fromMs)), end);
    const endMs = performance.now();
    await this.#mend();
    for (const ended of over) ended();
    const nowMs = performance.now();
    const recoveryMs = nowMs - endMs;
    const pauseMs = availability.longest(fromMs, nowMs);
    this.outcomes.push({ kinds: step.faults.map(({ kind }) => kind), pauseMs, recoveryMs });
    const leader = (await cluster.leaderNow()) ?? 'nobody';
    report(
      `    all well after ${seconds(recoveryMs)}; longest pause of writes ${seconds(pauseMs)}; ${leader} leads`,
    );
    const all = step.faults.some(({ kind }) => faultOf(kind).harms === 'all');
    if (pauseMs > PAUSE_MS_MAX && !all) {
      this.pauses.push(`step ${step.number}: ${seconds(pauseMs)} without an acknowledged write`);
    }
  }

  /** Resolves when the fault is there; the function that it answers is to be called when it has ended. */
  async #begin(step: Step, planned: PlannedFault, signal: AbortSignal): Promise<() => void> {
    const { cluster, harm, report } = this.#components;
    const { hosts } = cluster;
    const { amount, kind } = planned;
    const fault = faultOf(kind);
    const drawn = hosts[planned.victim] ?? '';
    const leader = await cluster.leader(LEADER_DEADLINE_MS).catch(() => drawn);
    const victim = fault.victim === 'leader' ? leader : drawn;
    const rest = hosts.filter((host) => host !== victim);
    const other = rest[planned.other % rest.length] ?? '';
    const leads = victim === leader ? ', which leads' : '';
    const what = fault.says({ other, amount });
    report(`${step.number}. ${victim}${leads}: ${what}, for ${seconds(step.lastMs)} [${kind}]`);
    const over = harm.begin(fault.harms === 'all' ? hosts : [victim]);
    const aside = (line: string) => report(`    ${line}`);
    await fault.begin({ cluster, harm, victim, other, amount, signal, report: aside });
    return over;
  }

  /** Ends every fault, starts whatever is down, and waits until all follow one leader. */
  async #mend(): Promise<void> {
    const { cluster, report } = this.#components;
    await cluster.heal();
    for (const host of cluster.hosts) {
      await waitUntil(
        `${host} to be up`,
        async () => {
          if (await cluster.status(host)) return true;
          await cluster.startHost(host).catch((error: unknown) => {
            report(`    ${host} did not start: ${messageOf(error)}`);
            throw error;
          });
          return false;
        },
        { deadlineMs: UP_DEADLINE_MS },
      );
    }
    await waitUntil('all hosts to follow one leader as its voters', () => this.#isWell(), {
      deadlineMs: RECOVERY_DEADLINE_MS,
    });
  }

  async #isWell(): Promise<boolean> {
    const { cluster } = this.#components;
    const all = await Promise.all(cluster.hosts.map((host) => cluster.status(host)));
    const views = all.map((status) =>
      status?.quorum ? `${status.leader?.node} in term ${status.term}` : 'nobody',
    );
    const voters = all[0]?.members.filter(({ role }) => role === 'voter').length ?? 0;
    const wanted = all[0]?.votersWanted ?? 0;
    if (new Set(views).size === 1 && !views.includes('nobody') && voters === wanted) return true;
    throw new Error(`they follow ${views.join(', ')}; ${voters} of ${wanted} vote`);
  }
}
