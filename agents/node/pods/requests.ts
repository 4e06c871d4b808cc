/** What the runtime is asked to make for a pod: its sandbox and its containers. Pure. */

import { expand } from './expand.ts';
import type { EphemeralContainer, Pod } from './kinds.ts';
import { LABEL, TYPE_CONTAINER, TYPE_SANDBOX } from './labels.ts';
import type { ContainerRequest, HostPort, RuntimeMount, RuntimeResources } from './ports.ts';
import { cpuMilli, memoryBytes, oomScoreAdj } from './qos.ts';
import { type AnyContainer, hashOf } from './record.ts';
import { PAUSE_COMMAND, PAUSE_REAPING_COMMAND } from './runtime/sandbox-image.ts';
import { securityOf, sysctlsOf } from './security.ts';

const CPU_SHARES_PER_CPU = 1024;
const CPU_SHARES_MIN = 2;
const CPU_PERIOD_US = 100_000;
const CPU_QUOTA_US_MIN = 1_000;
/** The longest host name Linux takes. */
const HOSTNAME_MAX = 63;

export type NodeSettings = {
  readonly nodeName: string;
  readonly memoryBytes: number;
  /** Most processes of one container; no limit when absent. */
  readonly podPidsMax?: number;
};

/** Docker-style name, unique per attempt. */
export function runtimeName(pod: Pod, container: string, attempt: number): string {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  return `skein_${container}_${name}_${namespace}_${uid}_${attempt}`;
}

/** The pod's host name. */
export function hostnameOf(pod: Pod): string {
  const name = pod.spec.hostname || pod.metadata.name;
  return name.slice(0, HOSTNAME_MAX).replace(/[-.]+$/, '');
}

/** The sandbox: a process that does nothing and holds the pod's namespaces. */
export function sandboxRequest(
  pod: Pod,
  settings: NodeSettings,
  how: { readonly image: string; readonly attempt: number },
): ContainerRequest {
  const { hostNetwork, hostIPC, hostPID, shareProcessNamespace } = pod.spec;
  const sysctls = sysctlsOf(pod);
  return {
    name: runtimeName(pod, 'POD', how.attempt),
    image: how.image,
    labels: {
      ...podLabels(pod, settings),
      [LABEL.type]: TYPE_SANDBOX,
      [LABEL.restartCount]: String(how.attempt),
    },
    command: shareProcessNamespace ? PAUSE_REAPING_COMMAND : PAUSE_COMMAND,
    // Process 1 ignores SIGTERM: without this a stopping daemon waits ten seconds for each pod.
    stopSignal: 'SIGKILL',
    ...(hostNetwork ? {} : { hostname: hostnameOf(pod) }),
    network: hostNetwork ? 'host' : 'private',
    ipc: hostIPC ? 'host' : 'shareable',
    pid: hostPID ? 'host' : 'private',
    resources: { cpuShares: CPU_SHARES_MIN },
    ...(Object.keys(sysctls).length > 0 ? { sysctls } : {}),
  };
}

/** One container of the pod, in the sandbox's namespaces. */
export function containerRequest(
  pod: Pod,
  spec: AnyContainer,
  how: {
    readonly settings: NodeSettings;
    readonly sandboxId: string;
    readonly restartCount: number;
    readonly env: ReadonlyMap<string, string>;
    readonly mounts: readonly RuntimeMount[];
    readonly imageUser: string;
    /** Container id of an ephemeral container's target. */
    readonly targetId?: string;
  },
): ContainerRequest {
  const { settings, sandboxId, restartCount, env, mounts, imageUser, targetId } = how;
  const { hostNetwork, hostIPC, hostPID, shareProcessNamespace } = pod.spec;
  const lookup = (name: string) => env.get(name);
  const stopSignal = spec.lifecycle?.stopSignal;
  const pid = hostPID ? 'host' : shareProcessNamespace ? 'sandbox' : 'private';
  return {
    name: runtimeName(pod, spec.name, restartCount),
    image: spec.image ?? '',
    labels: {
      ...podLabels(pod, settings),
      [LABEL.type]: TYPE_CONTAINER,
      [LABEL.container]: spec.name,
      [LABEL.sandboxId]: sandboxId,
      [LABEL.restartCount]: String(restartCount),
      [LABEL.hash]: hashOf(spec),
    },
    ...(spec.command?.length ? { command: spec.command.map((text) => expand(text, lookup)) } : {}),
    ...(spec.args?.length ? { args: spec.args.map((text) => expand(text, lookup)) } : {}),
    env: [...env].map(([name, value]) => `${name}=${value}`),
    ...(spec.workingDir ? { workingDir: spec.workingDir } : {}),
    ...(spec.stdin ? { stdin: true, stdinOnce: spec.stdinOnce ?? false } : {}),
    ...(spec.tty ? { tty: true } : {}),
    ...(stopSignal ? { stopSignal } : {}),
    sandboxId,
    network: hostNetwork ? 'host' : 'sandbox',
    ipc: hostIPC ? 'host' : 'sandbox',
    pid: targetId !== undefined && pid === 'private' ? { containerId: targetId } : pid,
    mounts,
    resources: resourcesOf(pod, spec, settings),
    security: securityOf(pod, spec, imageUser),
  };
}

/** Ports that the pod publishes on the node. */
export function hostPortsOf(pod: Pod): HostPort[] {
  if (pod.spec.hostNetwork) return [];
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return all.flatMap(({ ports = [] }) =>
    ports.flatMap(({ containerPort, hostPort, hostIP, protocol }) =>
      hostPort
        ? [
            {
              containerPort,
              hostPort,
              protocol: protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP',
              ...(hostIP ? { hostIP } : {}),
            },
          ]
        : [],
    ),
  );
}

/** The name of the container an ephemeral one debugs. */
export function targetOf(spec: AnyContainer): string | undefined {
  return (spec as EphemeralContainer).targetContainerName || undefined;
}

function podLabels(pod: Pod, settings: NodeSettings): Record<string, string> {
  return {
    [LABEL.node]: settings.nodeName,
    [LABEL.podUid]: pod.metadata.uid ?? '',
    [LABEL.podName]: pod.metadata.name,
    [LABEL.podNamespace]: pod.metadata.namespace ?? 'default',
  };
}

function resourcesOf(pod: Pod, spec: AnyContainer, settings: NodeSettings): RuntimeResources {
  const request = cpuMilli(spec, 'requests') ?? cpuMilli(spec, 'limits');
  const limit = cpuMilli(spec, 'limits');
  const memory = memoryBytes(spec, 'limits');
  const shares = Math.floor(((request ?? 0) * CPU_SHARES_PER_CPU) / 1000);
  const quota = limit && Math.max(CPU_QUOTA_US_MIN, Math.floor((limit * CPU_PERIOD_US) / 1000));
  return {
    cpuShares: Math.max(CPU_SHARES_MIN, shares),
    ...(quota ? { cpuQuotaUs: quota, cpuPeriodUs: CPU_PERIOD_US } : {}),
    ...(memory ? { memoryBytes: memory } : {}),
    ...(settings.podPidsMax ? { pidsMax: settings.podPidsMax } : {}),
    oomScoreAdj: oomScoreAdj(pod, spec, settings.memoryBytes),
  };
}
