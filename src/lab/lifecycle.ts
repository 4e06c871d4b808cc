/**
 * Bringing labs up and down. Every operation is idempotent: it compares what should be with what is and does the
 * rest, so that a command that was interrupted can simply be run again.
 */

import { access } from 'node:fs/promises';
import { callControl, DEFAULT_DATA_DIR } from '../cli/control-client.ts';
import { SkeinError } from '../lib/errors.ts';
import { killHost, removeCgroups, startInit, waitForInit } from './host.ts';
import { buildShim, shimEnvironment } from './host-faults.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { waitFor } from './launch.ts';
import { endFaults, restoreFaults } from './link-faults.ts';
import {
  changeAddress,
  ensureHostLink,
  ensureSwitch,
  removeHostLink,
  removeSwitch,
} from './network.ts';
import { checkNewAddress, type HostPlan, hostOf } from './plan.ts';
import { isAlive, pause, signalProcess, waitGone } from './processes.ts';
import { startDockerd, startSkein, waitForDockerd } from './programs.ts';
import { controlSocketOf, LabSession, nameFlag, onLab, type Report } from './session.ts';
import { createState, type DockerSetup, readState, removeLab, withLabLock } from './state.ts';
import { statusOf } from './status.ts';

export type LabUpOptions = {
  readonly name: string;
  readonly nodes: number;
  /** Extra flags for every node's `skein up`. */
  readonly flags?: readonly string[];
  /** Default bare. */
  readonly docker?: DockerSetup;
  /** Make disks and clocks that can be broken; needs a C compiler. Default false. */
  readonly faults?: boolean;
  readonly report: Report;
};

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
const POLL_MS = 100;
const TOKEN_TTL_SECONDS = 600;
const NODE1 = 'node1';
/** Flags that suit a lab: hosts die on purpose, and nobody wants to wait five minutes to see the consequences. */
const LAB_FLAGS = ['--default-toleration-seconds=2', '--log-level=info'];

/** Brings a lab up, or completes one that is partly up. Returns the kubeconfig's path. */
export async function labUp(options: LabUpOptions): Promise<string> {
  const { name, nodes, report, flags = [], docker = 'bare', faults = false } = options;
  return withLabLock(name, async () => {
    const existing = await readState(name);
    if (existing && existing.nodes !== nodes) {
      throw new SkeinError(
        'config-invalid',
        `lab "${name}" exists with ${existing.nodes} nodes; take it down first: skein lab down${nameFlag(name)}`,
      );
    }
    const state =
      existing ??
      (await createState(name, { nodes, docker, faults, flags: [...LAB_FLAGS, ...flags] }));
    const lab = new LabSession(name, state);
    if (state.faults) await buildShim(lab.plan);
    await ensureSwitch(lab.plan);
    for (const host of lab.plan.hosts) await ensureHostLink(lab.plan, host);
    await restoreFaults(lab);
    report(`${nodes} hosts: starting Docker on each`);
    await Promise.all(lab.plan.hosts.map((host) => bootHost(lab, host)));
    const [first, ...others] = lab.plan.hosts as [HostPlan, ...HostPlan[]];
    report('starting Skein');
    await ensureSkein(lab, first);
    await Promise.all(others.map((host) => ensureSkein(lab, host)));
    await waitNodesReady(lab, report);
    return (await writeKubeconfig(lab)).path;
  });
}

/** Ends every process and removes every trace of the lab; works on the remains of a crash as well. */
export async function labDown(name: string, report: Report): Promise<void> {
  await withLabLock(name, async () => {
    const state = await readState(name);
    if (!state) {
      report(`there is no lab "${name}"`);
      return;
    }
    const lab = new LabSession(name, state);
    await Promise.all(
      lab.plan.hosts.map(async (host) => {
        await lab.look(host);
        await killHost(host, lab.processesOf(host));
        await removeCgroups(lab.plan, host);
      }),
    );
    await endFaults(lab);
    for (const host of lab.plan.hosts) await removeHostLink(lab.plan, host);
    await removeSwitch(lab.plan);
    await removeLab(name);
    report(`lab "${name}" is gone`);
  });
}

export type LabStartOptions = {
  readonly name: string;
  readonly host: string;
  /** Further flags for this start of `skein up`. */
  readonly flags?: readonly string[];
};

/** Starts whatever of a host does not run. */
export async function labStart({ name, host: hostName, flags }: LabStartOptions): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    await ensureSwitch(lab.plan);
    await ensureHostLink(lab.plan, host);
    await restoreFaults(lab);
    await bootHost(lab, host);
    await ensureSkein(lab, host, flags);
  });
}

/** Stops the Skein process of a host with SIGTERM: it hands leadership over and leaves containers running. */
export async function labStop(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    const { skein } = lab.processesOf(host);
    await signalProcess(skein, 'SIGTERM');
    if (await waitGone(skein, STOP_DEADLINE_MS)) return;
    throw new SkeinError(
      'deadline-exceeded',
      `skein on ${hostName} did not end within ${STOP_DEADLINE_MS / 1000} s of SIGTERM`,
    );
  });
}

/** Gives a host another address, as a new lease would. Its Skein process must be started anew to learn of it. */
export async function labReaddress(name: string, hostName: string, address: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    checkNewAddress(lab.plan, host, address);
    await changeAddress(lab.plan, host, address);
    await lab.save({ addresses: { ...lab.state.addresses, [host.name]: address } });
  });
}

/** Makes sure that the host and its dockerd run. */
async function bootHost(lab: LabSession, host: HostPlan): Promise<void> {
  await lab.look(host);
  if (!(await isAlive(lab.processesOf(host).init))) {
    await lab.saveHost(host, { init: await startInit(host) });
  }
  const init = await lab.initOf(host);
  await waitForInit(host, init);
  if (!(await isAlive(lab.processesOf(host).dockerd))) {
    const { docker = 'bare' } = lab.state;
    await lab.saveHost(host, { dockerd: await startDockerd(lab.plan, host, { init, docker }) });
  }
  const { dockerd } = lab.processesOf(host);
  if (dockerd) await waitForDockerd(host, { init, dockerd });
}

/** True once the host has been part of a cluster: then `up` alone brings it back. */
async function hasJoined(host: HostPlan): Promise<boolean> {
  return access(`${host.dir}/root${DEFAULT_DATA_DIR}/cluster.json`).then(
    () => true,
    () => false,
  );
}

/** Makes sure that the host's Skein process runs and answers. */
async function ensureSkein(
  lab: LabSession,
  host: HostPlan,
  flags: readonly string[] = [],
): Promise<void> {
  if (await isAlive(lab.processesOf(host).skein)) return;
  const init = await lab.initOf(host);
  const args = [...(await skeinArguments(lab, host)), ...flags];
  const environment = lab.state.faults ? await shimEnvironment(lab.plan, host) : [];
  const skein = await startSkein(host, init, { args, environment });
  await lab.saveHost(host, { skein });
  const what = `skein on ${host.name}`;
  await waitFor(
    { what, logFile: `${host.dir}/skein.log`, process: skein, deadlineMs: READY_DEADLINE_MS },
    async () => (await statusOf(host)) !== undefined,
  );
}

async function skeinArguments(lab: LabSession, host: HostPlan): Promise<string[]> {
  const flags = [`--advertise-address=${host.address}`, ...lab.state.flags];
  if ((await hasJoined(host)) || (await founds(lab, host))) return ['up', ...flags];
  return ['join', await newToken(lab), ...flags];
}

/** The first host makes the cluster, unless there is one already: then it was reset, and joins like any other. */
async function founds(lab: LabSession, host: HostPlan): Promise<boolean> {
  if (host.name !== NODE1) return false;
  const joined = await Promise.all(lab.plan.hosts.map(hasJoined));
  return !joined.includes(true);
}

/** A join token from whichever host answers first. */
async function newToken(lab: LabSession): Promise<string> {
  let failure: unknown;
  for (const host of lab.plan.hosts) {
    if (!(await isAlive(lab.processesOf(host).skein))) continue;
    try {
      const answer = await callControl<{ token: string }>(controlSocketOf(host), {
        method: 'POST',
        path: '/tokens',
        body: { ttlSeconds: TOKEN_TTL_SECONDS },
      });
      return answer.token;
    } catch (error) {
      failure = error;
    }
  }
  throw new SkeinError('no-leader', 'no host of the lab could issue a join token', {
    cause: failure,
  });
}

async function waitNodesReady(lab: LabSession, report: Report): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  let shown = '';
  for (;;) {
    const statuses = await Promise.all(lab.plan.hosts.map(statusOf));
    // Whoever has applied most knows best.
    const [status] = statuses
      .filter((candidate) => candidate?.quorum)
      .sort((one, other) => (other?.revision ?? 0) - (one?.revision ?? 0));
    const members = status?.members ?? [];
    const ready = members.filter((member) => member.ready === 'True').map((member) => member.node);
    const voters = members.filter((member) => member.role === 'voter').length;
    const line = `nodes ready: ${ready.length === 0 ? 'none yet' : ready.sort().join(', ')}`;
    if (line !== shown) report(line);
    shown = line;
    const missing = lab.plan.hosts.filter((host) => !ready.includes(host.name));
    // Before the others vote, the loss of the first host would be the loss of the cluster.
    const safe = status !== undefined && voters >= status.votersWanted;
    if (missing.length === 0 && safe) return;
    if (performance.now() > deadline) {
      const late = missing.length === 0 ? lab.plan.hosts : missing;
      const what = missing.length === 0 ? `only ${voters} voters` : 'not ready';
      const logs = late.map((host) => `${host.dir}/skein.log`).join(', ');
      throw new SkeinError(
        'deadline-exceeded',
        `${what} after ${READY_DEADLINE_MS / 1000} s: ${late.map((host) => host.name).join(', ')}; see ${logs}`,
      );
    }
    await pause(POLL_MS);
  }
}
