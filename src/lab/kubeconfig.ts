/** The kubeconfig of a lab: a context per host, the current one a host that answers. */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { callControl } from '../cli/control-client.ts';
import { SkeinError } from '../lib/errors.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import { isAlive } from './processes.ts';
import { controlSocketOf, type LabSession, onLab } from './session.ts';
import { kubeconfigPath } from './status.ts';

export type Kubeconfig = {
  readonly clusters: readonly {
    readonly name: string;
    readonly cluster: { readonly server: string };
  }[];
  readonly users: readonly { readonly name: string }[];
  readonly [key: string]: unknown;
};

/** The kubeconfig's text, and the file in the lab's directory that it was written to. */
export async function labKubeconfig(
  name: string,
): Promise<{ readonly path: string; readonly text: string }> {
  return onLab(name, writeKubeconfig);
}

/** Asks the first host that answers for an administrator's kubeconfig and writes it for all hosts. */
export async function writeKubeconfig(
  lab: LabSession,
): Promise<{ readonly path: string; readonly text: string }> {
  const { parse, stringify } = await import('yaml');
  let failure: unknown;
  for (const host of lab.plan.hosts) {
    if (!(await isAlive(lab.processesOf(host).skein))) continue;
    try {
      const answer = await callControl<{ kubeconfig: string }>(controlSocketOf(host), {
        method: 'GET',
        path: '/kubeconfig',
      });
      const text = stringify(spreadContexts(lab.plan, host, parse(answer.kubeconfig)));
      const path = kubeconfigPath(lab.plan);
      await mkdir(lab.plan.dir, { recursive: true, mode: 0o700 });
      await writeFile(path, text, { mode: 0o600 });
      await chmod(path, 0o600);
      return { path, text };
    } catch (error) {
      failure = error;
    }
  }
  throw new SkeinError('peer-unreachable', 'no host of the lab answers', { cause: failure });
}

/** One cluster and context per host from a kubeconfig that knows one. Pure. */
export function spreadContexts(plan: LabPlan, current: HostPlan, config: Kubeconfig): Kubeconfig {
  const cluster = config.clusters[0]?.cluster;
  const user = config.users[0]?.name;
  if (!cluster || !user) throw new SkeinError('config-invalid', 'the kubeconfig names no cluster');
  const port = new URL(cluster.server).port;
  return {
    ...config,
    clusters: plan.hosts.map((host) => ({
      name: host.name,
      cluster: { ...cluster, server: `https://${host.address}:${port}` },
    })),
    contexts: plan.hosts.map((host) => ({
      name: host.name,
      context: { cluster: host.name, user },
    })),
    'current-context': current.name,
  };
}
