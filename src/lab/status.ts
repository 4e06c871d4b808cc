/** What runs in a lab, and what each host says of the cluster. Changes nothing. */

import { callControl } from '../cli/control-client.ts';
import type { NodeStatusReport } from '../cli/status-types.ts';
import { SkeinError } from '../lib/errors.ts';
import { type HostFaults, NO_FAULTS, readFaults } from './host-faults.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import { isAlive } from './processes.ts';
import { controlSocketOf, type LabSession, openLab } from './session.ts';
import type { DelayRule, LabState } from './state.ts';

export type LabHostStatus = {
  readonly host: string;
  readonly address: string;
  readonly up: boolean;
  readonly dockerd: boolean;
  readonly skein: boolean;
  readonly status: NodeStatusReport | undefined;
  /** What its disk and clock do wrong. */
  readonly faults: HostFaults;
};

export type LabStatus = {
  readonly name: string;
  readonly hosts: readonly LabHostStatus[];
  readonly cuts: LabState['cuts'];
  readonly oneWayCuts: LabState['cuts'];
  readonly delays: readonly DelayRule[];
  readonly kubeconfig: string;
};

const STATUS_DEADLINE_MS = 2000;

export const kubeconfigPath = (plan: LabPlan): string => `${plan.dir}/kubeconfig`;

/** What runs and what each host says of the cluster. */
export async function labStatus(name: string): Promise<LabStatus> {
  const { plan, state } = await openLab(name);
  const hosts = await Promise.all(
    plan.hosts.map(async (host) => {
      const processes = state.hosts[host.name] ?? {};
      const skein = await isAlive(processes.skein);
      return {
        host: host.name,
        address: host.address,
        up: await isAlive(processes.init),
        dockerd: await isAlive(processes.dockerd),
        skein,
        status: skein ? await statusOf(host) : undefined,
        faults: (await readFaults(host)) ?? NO_FAULTS,
      };
    }),
  );
  const { cuts, oneWayCuts = [], delays } = state;
  return { name, hosts, cuts, oneWayCuts, delays, kubeconfig: kubeconfigPath(plan) };
}

/** The report of a host's Skein process, or undefined while none answers. */
export async function statusOf(host: HostPlan): Promise<NodeStatusReport | undefined> {
  return callControl<NodeStatusReport>(controlSocketOf(host), {
    method: 'GET',
    path: '/status',
    deadlineMs: STATUS_DEADLINE_MS,
  }).catch(() => undefined);
}

/** The host whose Skein process leads, by the word of the newest term. Throws no-leader if none claims to. */
export async function leaderOf(lab: LabSession): Promise<HostPlan> {
  const statuses = await Promise.all(
    lab.plan.hosts.map(async (host) => ({ host, status: await statusOf(host) })),
  );
  const leading = statuses
    .filter(({ status }) => status?.role === 'leader')
    .sort((a, b) => (b.status?.term ?? 0) - (a.status?.term ?? 0));
  const first = leading[0];
  if (first) return first.host;
  throw new SkeinError('no-leader', 'no host leads at the moment; see: skein lab status');
}
