/** What runs on a lab host: a Docker daemon and a Skein process. */

import { rm } from 'node:fs/promises';
import { cgroupOf, enterHost, pathInHost } from './host.ts';
import { childOf, launch, waitFor } from './launch.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import type { ProcessId } from './processes.ts';
import type { DockerSetup } from './state.ts';

const LAUNCHER = new URL('../../scripts/skein', import.meta.url).pathname;

/** Flags by setup; a stock daemon makes its bridge and its firewall rules. */
const DOCKER_FLAGS: Readonly<Record<DockerSetup, readonly string[]>> = {
  bare: ['--bridge=none', '--iptables=false', '--ip-forward=false'],
  stock: [],
};

/** Starts the host's Docker daemon; it takes a moment until it answers (waitForDockerd). */
export async function startDockerd(
  plan: LabPlan,
  host: HostPlan,
  { init, docker: setup }: { readonly init: ProcessId; readonly docker: DockerSetup },
): Promise<ProcessId> {
  // A host that died leaves pid files that mean another process now.
  for (const stale of ['docker.pid', 'docker/containerd/containerd.pid']) {
    await rm(pathInHost(init, `/run/${stale}`), { force: true });
  }
  const start = {
    what: `dockerd of ${host.name}`,
    program: 'nsenter',
    args: [
      ...enterHost(init),
      'dockerd',
      ...DOCKER_FLAGS[setup],
      '--live-restore',
      `--cgroup-parent=${cgroupOf(plan, host)}`,
      '--host=unix:///var/run/docker.sock',
    ],
    logFile: `${host.dir}/dockerd.log`,
  };
  return childOf(await launch(start), start);
}

/** Waits until a Docker daemon that was started answers. */
export async function waitForDockerd(
  host: HostPlan,
  { init, dockerd }: { readonly init: ProcessId; readonly dockerd: ProcessId },
): Promise<void> {
  const { default: Docker } = await import('dockerode');
  const client = new Docker({ socketPath: pathInHost(init, '/run/docker.sock') });
  const waiting = {
    what: `dockerd of ${host.name}`,
    logFile: `${host.dir}/dockerd.log`,
    process: dockerd,
  };
  await waitFor(waiting, () =>
    client.ping().then(
      () => true,
      () => false,
    ),
  );
}

export type SkeinStart = {
  /** `up ...` or `join ...`. */
  readonly args: readonly string[];
  /** NAME=value, besides what this process has. */
  readonly environment: readonly string[];
};

/** Starts Skein; does not wait for readiness. */
export async function startSkein(
  host: HostPlan,
  init: ProcessId,
  { args, environment }: SkeinStart,
): Promise<ProcessId> {
  const start = {
    what: `skein on ${host.name}`,
    program: 'nsenter',
    args: [...enterHost(init), 'env', ...environment, LAUNCHER, ...args],
    logFile: `${host.dir}/skein.log`,
  };
  return childOf(await launch(start), start);
}
