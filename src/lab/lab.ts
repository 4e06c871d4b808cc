/**
 * A lab: several real hosts on one machine. Every operation is idempotent: it compares what should be
 * with what is and does the rest, so that a command that was interrupted can simply be run again.
 */

import { createReadStream } from 'node:fs';
import { access, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { callControl, controlSocketPath, DEFAULT_DATA_DIR } from '../cli/control-client.ts';
import type { NodeStatusReport } from '../cli/status-types.ts';
import { SkeinError } from '../lib/errors.ts';
import { ensureDelayLine, stopDelayLine } from './delay.ts';
import {
  execInHost,
  killHost,
  pathInHost,
  removeCgroups,
  startDockerd,
  startInit,
  startSkein,
  waitFor,
} from './host.ts';
import {
  applyCuts,
  ensureHostLink,
  ensureSwitch,
  removeHostLink,
  removeSwitch,
  unplug,
} from './network.ts';
import { type HostPlan, hostOf, type LabPlan, planLab } from './plan.ts';
import {
  createState,
  type DelayRule,
  type HostProcesses,
  isAlive,
  type LabState,
  labRoot,
  loadLab,
  type ProcessId,
  readState,
  removeLab,
  signalProcess,
  waitGone,
  withLabLock,
  writeState,
} from './state.ts';

/** Where progress is told, one line a step. */
export type Report = (line: string) => void;

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
const NODE1 = 'node1';

/** A lab under change: the plan, and the state that is written after every step that matters. */
class LabSession {
  readonly plan: LabPlan;
  #state: LabState;
  #saved: Promise<void> = Promise.resolve();

  constructor(plan: LabPlan, state: LabState) {
    this.plan = plan;
    this.#state = state;
  }

  get state(): LabState {
    return this.#state;
  }

  processesOf(host: HostPlan): HostProcesses {
    return this.#state.hosts[host.name] ?? {};
  }

  /** Writes follow one another: hosts are worked on side by side. */
  save(change: Partial<LabState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    this.#saved = this.#saved.then(() => writeState(this.plan.name, this.#state));
    return this.#saved;
  }

  saveHost(host: HostPlan, processes: HostProcesses): Promise<void> {
    return this.save({ hosts: { ...this.#state.hosts, [host.name]: processes } });
  }

  /** The init process of a living host; throws with the remedy when the host is down. */
  async initOf(host: HostPlan): Promise<ProcessId> {
    const { init } = this.processesOf(host);
    if (init && (await isAlive(init))) return init;
    throw new SkeinError(
      'config-invalid',
      `host ${host.name} is down; start it with: skein lab start ${host.name}${nameFlag(this.plan)}`,
    );
  }
}

const nameFlag = (plan: LabPlan): string => (plan.name === 'lab' ? '' : ` --name ${plan.name}`);

/** The host's control socket, reached through the directory that the host mounts. */
export function controlSocketOf(host: HostPlan): string {
  return controlSocketPath(`${host.dir}/root${DEFAULT_DATA_DIR}`);
}

/** Runs `work` on an existing lab, alone. */
async function onLab<T>(name: string, work: (lab: LabSession) => Promise<T>): Promise<T> {
  return withLabLock(async () => {
    const { plan, state } = await loadLab(name);
    return work(new LabSession(plan, state));
  });
}

export type LabUpOptions = {
  readonly name: string;
  readonly nodes: number;
  /** Extra flags for every node's `skein up`. */
  readonly flags?: readonly string[];
  readonly report: Report;
};

/** Flags that suit a lab: hosts die on purpose, and nobody wants to wait five minutes to see the consequences. */
const LAB_FLAGS = ['--default-toleration-seconds=2', '--log-level=info'];

/** Brings a lab up, or completes one that is partly up. Returns the kubeconfig's path. */
export async function labUp(options: LabUpOptions): Promise<string> {
  const { name, nodes, report } = options;
  return withLabLock(async () => {
    const existing = await readState(name);
    if (existing && existing.nodes !== nodes) {
      throw new SkeinError(
        'config-invalid',
        `lab "${name}" exists with ${existing.nodes} nodes; take it down first: skein lab down --name ${name}`,
      );
    }
    const state =
      existing ?? (await createState(name, nodes, [...LAB_FLAGS, ...(options.flags ?? [])]));
    const lab = new LabSession(planLab(labRoot(), name, state.index, nodes), state);
    await ensureSwitch(lab.plan);
    for (const host of lab.plan.hosts) await ensureHostLink(lab.plan, host);
    report(`${nodes} hosts: starting Docker on each`);
    await Promise.all(lab.plan.hosts.map((host) => bootHost(lab, host)));
    const [first, ...others] = lab.plan.hosts as [HostPlan, ...HostPlan[]];
    report('starting Skein');
    await ensureSkein(lab, first);
    await Promise.all(others.map((host) => ensureSkein(lab, host)));
    await waitNodesReady(lab, report);
    return writeKubeconfig(lab);
  });
}

/** Makes sure that the host and its dockerd run. */
async function bootHost(lab: LabSession, host: HostPlan): Promise<void> {
  let processes = lab.processesOf(host);
  if (!(await isAlive(processes.init))) {
    processes = { init: await startInit(host) };
    await lab.saveHost(host, processes);
  }
  const init = await lab.initOf(host);
  if (!(await isAlive(processes.dockerd))) {
    const dockerd = await startDockerd(lab.plan, host, init);
    await lab.saveHost(host, { ...lab.processesOf(host), dockerd });
  }
}

/** True once the host has been part of a cluster: then `up` alone brings it back. */
async function hasJoined(host: HostPlan): Promise<boolean> {
  return access(`${host.dir}/root${DEFAULT_DATA_DIR}/cluster.json`).then(
    () => true,
    () => false,
  );
}

/** Makes sure that the host's Skein process runs and answers. */
async function ensureSkein(lab: LabSession, host: HostPlan): Promise<void> {
  if (await isAlive(lab.processesOf(host).skein)) return;
  const init = await lab.initOf(host);
  const args = await skeinArguments(lab, host);
  const skein = await startSkein(host, init, args);
  await lab.saveHost(host, { ...lab.processesOf(host), skein });
  await waitFor(
    `skein on ${host.name}`,
    `${host.dir}/skein.log`,
    skein,
    () => statusOf(host).then((status) => status !== undefined),
    READY_DEADLINE_MS,
  );
}

async function skeinArguments(lab: LabSession, host: HostPlan): Promise<string[]> {
  const flags = [`--advertise-address=${host.address}`, ...lab.state.flags];
  if (host.name === NODE1 || (await hasJoined(host))) return ['up', ...flags];
  return ['join', await newToken(lab), ...flags];
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
        body: { ttlSeconds: 600 },
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

async function statusOf(host: HostPlan): Promise<NodeStatusReport | undefined> {
  return callControl<NodeStatusReport>(controlSocketOf(host), {
    method: 'GET',
    path: '/status',
    deadlineMs: 2000,
  }).catch(() => undefined);
}

async function waitNodesReady(lab: LabSession, report: Report): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  let shown = '';
  for (;;) {
    const statuses = await Promise.all(lab.plan.hosts.map(statusOf));
    const status = statuses.find((candidate) => candidate?.quorum);
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
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Ends every process and removes every trace of the lab; works on the remains of a crash as well. */
export async function labDown(name: string, report: Report): Promise<void> {
  await withLabLock(async () => {
    const state = await readState(name);
    if (!state) {
      report(`there is no lab "${name}"`);
      return;
    }
    const plan = planLab(labRoot(), name, state.index, state.nodes);
    await Promise.all(
      plan.hosts.map(async (host) => {
        await killHost(state.hosts[host.name] ?? {});
        await removeCgroups(plan, host);
      }),
    );
    await stopDelayLine(plan, state.delayLine).catch(() => {}); // The switch may be gone already.
    for (const host of plan.hosts) await removeHostLink(plan, host);
    await removeSwitch(plan);
    await removeLab(name);
    report(`lab "${name}" is gone`);
  });
}

export type LabHostStatus = {
  readonly host: string;
  readonly address: string;
  readonly up: boolean;
  readonly dockerd: boolean;
  readonly skein: boolean;
  readonly status: NodeStatusReport | undefined;
};

export type LabStatus = {
  readonly name: string;
  readonly hosts: readonly LabHostStatus[];
  readonly cuts: LabState['cuts'];
  readonly delays: readonly DelayRule[];
  readonly kubeconfig: string;
};

/** What runs and what each host says of the cluster. Changes nothing. */
export async function labStatus(name: string): Promise<LabStatus> {
  const { plan, state } = await loadLab(name);
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
      };
    }),
  );
  const { cuts, delays } = state;
  return { name, hosts, cuts, delays, kubeconfig: kubeconfigPath(plan) };
}

/** The host whose Skein process leads, by the word of the newest term. Throws no-leader if none claims to. */
async function leaderOf(lab: LabSession): Promise<HostPlan> {
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

export type LabKillOptions = {
  readonly name: string;
  readonly host: string;
  readonly wholeHost: boolean;
};

/** SIGKILLs the Skein process of a host (or of the `leader`), or everything on it. Returns the host's name. */
export async function labKill(options: LabKillOptions): Promise<string> {
  return onLab(options.name, async (lab) => {
    const host = options.host === 'leader' ? await leaderOf(lab) : hostOf(lab.plan, options.host);
    const processes = lab.processesOf(host);
    if (options.wholeHost) {
      await unplug(lab.plan, host); // First: a dead machine does not refuse connections, it is silent.
      await killHost(processes);
      await removeHostLink(lab.plan, host);
      await removeCgroups(lab.plan, host);
    } else {
      await signalProcess(processes.skein, 'SIGKILL');
      await waitGone(processes.skein, STOP_DEADLINE_MS);
    }
    return host.name;
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

/** Starts whatever of a host does not run. */
export async function labStart(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    await ensureSwitch(lab.plan);
    await ensureHostLink(lab.plan, host);
    await applyCuts(lab.plan, lab.state.cuts);
    await bootHost(lab, host);
    await ensureSkein(lab, host);
  });
}

/** Cuts the link between two hosts in both directions. */
export async function labCut(name: string, a: string, b: string): Promise<void> {
  await onLab(name, async (lab) => {
    const pair = [hostOf(lab.plan, a).name, hostOf(lab.plan, b).name] as const;
    await setCuts(lab, [...lab.state.cuts, pair]);
  });
}

/** Cuts a host off from every other host; the machine itself still reaches it. */
export async function labIsolate(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    const others = lab.plan.hosts.filter((other) => other !== host);
    await setCuts(lab, [
      ...lab.state.cuts,
      ...others.map((other) => [host.name, other.name] as const),
    ]);
  });
}

/** Mends every cut and removes every delay. */
export async function labHeal(name: string): Promise<void> {
  await onLab(name, async (lab) => {
    await setCuts(lab, []);
    await stopDelayLine(lab.plan, lab.state.delayLine);
    const { delayLine: _, ...rest } = lab.state;
    await lab.save({ ...rest, delays: [] });
  });
}

async function setCuts(lab: LabSession, cuts: LabState['cuts']): Promise<void> {
  const unique = new Map(cuts.map((pair) => [[...pair].sort().join(' '), pair]));
  await applyCuts(lab.plan, [...unique.values()]);
  await lab.save({ cuts: [...unique.values()] });
}

/** Delays (and loses a share of) the frames between two hosts, both ways; 0 ms and 0 % remove the rule. */
export async function labDelay(name: string, rule: DelayRule): Promise<void> {
  await onLab(name, async (lab) => {
    const a = hostOf(lab.plan, rule.a).name;
    const b = hostOf(lab.plan, rule.b).name;
    const others = lab.state.delays.filter(
      (other) => [other.a, other.b].sort().join(' ') !== [a, b].sort().join(' '),
    );
    const delays =
      rule.delayMs > 0 || rule.lossPercent > 0 ? [...others, { ...rule, a, b }] : others;
    const delayLine = await ensureDelayLine(lab.plan, delays, lab.state.delayLine);
    await lab.save({ delays, ...(delayLine ? { delayLine } : {}) });
  });
}

/** Loads an image into every host: a docker-archive file, or an image of the machine's own Docker. */
export async function labLoadImage(name: string, source: string, report: Report): Promise<void> {
  const { plan, state } = await loadLab(name);
  const lab = new LabSession(plan, state);
  const { default: Docker } = await import('dockerode');
  const isFile = await access(source).then(
    () => true,
    () => false,
  );
  await Promise.all(
    plan.hosts.map(async (host) => {
      if (!(await isAlive(lab.processesOf(host).init))) return;
      const socketPath = pathInHost(await lab.initOf(host), '/run/docker.sock');
      const stream = isFile
        ? createReadStream(source)
        : await new Docker()
            .getImage(source)
            .get()
            .catch((cause: unknown) => {
              throw new SkeinError(
                'config-invalid',
                `"${source}" is neither a readable file nor an image of this machine's Docker`,
                { cause },
              );
            });
      await loadArchive(new Docker({ socketPath }), stream, source);
      report(`${source} is on ${host.name}`);
    }),
  );
}

type ImageLoader = {
  loadImage(stream: NodeJS.ReadableStream): Promise<NodeJS.ReadableStream>;
};

async function loadArchive(
  docker: ImageLoader,
  stream: NodeJS.ReadableStream,
  source: string,
): Promise<void> {
  const answer = await docker.loadImage(stream);
  let text = '';
  for await (const chunk of answer) text += chunk.toString();
  const failed = /"error":"([^"]*)"/.exec(text);
  if (failed) throw new SkeinError('runtime-failed', `loading ${source}: ${failed[1]}`);
}

/** Runs a command on a host with this terminal; returns its exit code. */
export async function labExec(
  name: string,
  hostName: string,
  command: readonly string[],
): Promise<number> {
  const { plan, state } = await loadLab(name);
  const lab = new LabSession(plan, state);
  return execInHost(await lab.initOf(hostOf(plan, hostName)), command);
}

/** Path of the file a host's Skein process logs to. */
export async function labLogFile(name: string, hostName: string): Promise<string> {
  const { plan } = await loadLab(name);
  return `${hostOf(plan, hostName).dir}/skein.log`;
}

const kubeconfigPath = (plan: LabPlan): string => `${plan.dir}/kubeconfig`;

/** The kubeconfig's text: a context per host, the current one a host that answers. */
export async function labKubeconfig(name: string): Promise<string> {
  const path = await onLab(name, writeKubeconfig);
  return readFile(path, 'utf8');
}

async function writeKubeconfig(lab: LabSession): Promise<string> {
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
      return path;
    } catch (error) {
      failure = error;
    }
  }
  throw new SkeinError('peer-unreachable', 'no host of the lab answers', { cause: failure });
}

type Kubeconfig = {
  clusters: { name: string; cluster: { server: string } }[];
  users: { name: string }[];
  [key: string]: unknown;
};

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
