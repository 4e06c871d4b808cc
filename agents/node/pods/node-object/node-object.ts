/** The Node object of this machine: what it should say, and the difference to what it says. Pure. */

import { isDeepStrictEqual } from 'node:util';
import type { Node, NodeCondition, NodeStatus } from '../kinds.ts';
import type { ImageSummary } from '../ports.ts';
import { isoSeconds } from '../times.ts';
import type { NodeFacts } from './facts.ts';

export type NodeIdentity = {
  readonly nodeName: string;
  readonly hostIPs: readonly string[];
  readonly version: string;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  readonly podsMax?: number;
};

/** What was seen at the latest look. */
export type NodeSight = {
  readonly facts: NodeFacts;
  readonly runtimeVersion: string;
  readonly images: readonly ImageSummary[];
  readonly memoryFreeBytes: number;
  readonly diskFreeBytes: number;
  readonly inodesFreeShare: number;
};

const PODS_MAX = 110;
const IMAGES_MAX = 50;
const NAMES_MAX = 5;
/** Upstream's hard eviction thresholds. */
const MEMORY_FREE_MIN_BYTES = 100 * 1024 * 1024;
const DISK_FREE_MIN_SHARE = 0.1;
const INODES_FREE_MIN_SHARE = 0.05;

/** Labels that the node keeps on its object. */
export function nodeLabels(identity: NodeIdentity, facts: NodeFacts): Record<string, string> {
  return {
    ...identity.nodeLabels,
    'kubernetes.io/hostname': identity.nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': facts.architecture,
    'beta.kubernetes.io/os': 'linux',
    'beta.kubernetes.io/arch': facts.architecture,
  };
}

/** The object to register. */
export function newNode(identity: NodeIdentity, sight: NodeSight, nowMs: number): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: identity.nodeName, labels: nodeLabels(identity, sight.facts) },
    spec: {},
    status: nodeStatus(identity, sight, { previous: undefined, nowMs }),
  };
}

/**
 * The part of the status that this node reports. The Ready condition is reported once, at the
 * registration: afterwards it belongs to the node-lifecycle controller, which hears the heartbeats.
 */
export function nodeStatus(
  identity: NodeIdentity,
  sight: NodeSight,
  context: { readonly previous: NodeStatus | undefined; readonly nowMs: number },
): NodeStatus {
  const { facts } = sight;
  const capacity = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(identity.podsMax ?? PODS_MAX),
    'ephemeral-storage': `${Math.floor(facts.diskBytes / 1024)}Ki`,
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
  };
  return {
    capacity,
    allocatable: capacity,
    addresses: [
      ...identity.hostIPs.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: identity.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    nodeInfo: {
      machineID: facts.machineId,
      systemUUID: facts.systemUuid,
      bootID: facts.bootId,
      kernelVersion: facts.kernelVersion,
      osImage: facts.osImage,
      containerRuntimeVersion: sight.runtimeVersion,
      kubeletVersion: identity.version,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: facts.architecture,
    },
    images: shownImages(sight.images),
    conditions: conditions(sight, context),
  };
}

/** Body of a strategic merge patch of the status; undefined when nothing differs. */
export function nodeStatusPatch(
  shown: NodeStatus | undefined,
  wanted: NodeStatus,
): object | undefined {
  const status: Record<string, unknown> = {};
  for (const field of [
    'capacity',
    'allocatable',
    'nodeInfo',
    'images',
    'daemonEndpoints',
  ] as const) {
    if (!isDeepStrictEqual(plain(shown?.[field]), plain(wanted[field])))
      status[field] = wanted[field];
  }
  if (!isDeepStrictEqual(plain(shown?.addresses), plain(wanted.addresses))) {
    status['addresses'] = [{ $patch: 'replace' }, ...(wanted.addresses ?? [])];
  }
  const changed = (wanted.conditions ?? []).filter((next) => {
    const old = shown?.conditions?.find(({ type }) => type === next.type);
    return old?.status !== next.status || old.reason !== next.reason;
  });
  if (changed.length > 0) status['conditions'] = changed;
  return Object.keys(status).length === 0 ? undefined : { status };
}

function conditions(
  sight: NodeSight,
  context: { readonly previous: NodeStatus | undefined; readonly nowMs: number },
): NodeCondition[] {
  const memory = sight.memoryFreeBytes < MEMORY_FREE_MIN_BYTES;
  const disk =
    sight.diskFreeBytes < sight.facts.diskBytes * DISK_FREE_MIN_SHARE ||
    sight.inodesFreeShare < INODES_FREE_MIN_SHARE;
  const shared = [
    pressure('MemoryPressure', memory, {
      yes: 'KubeletHasInsufficientMemory',
      no: 'KubeletHasSufficientMemory',
      what: ['insufficient memory available', 'sufficient memory available'],
    }),
    pressure('DiskPressure', disk, {
      yes: 'KubeletHasDiskPressure',
      no: 'KubeletHasNoDiskPressure',
      what: ['disk pressure', 'no disk pressure'],
    }),
    pressure('PIDPressure', false, {
      yes: 'KubeletHasInsufficientPID',
      no: 'KubeletHasSufficientPID',
      what: ['insufficient PID available', 'sufficient PID available'],
    }),
  ];
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'KubeletReady',
    message: 'kubelet is posting ready status',
  };
  const all = context.previous === undefined ? [...shared, ready] : shared;
  const now = isoSeconds(context.nowMs);
  return all.map((next) => {
    const old = context.previous?.conditions?.find(({ type }) => type === next.type);
    const since = old?.status === next.status ? (old.lastTransitionTime ?? now) : now;
    return { ...next, lastHeartbeatTime: now, lastTransitionTime: since };
  });
}

function pressure(
  type: string,
  present: boolean,
  words: { readonly yes: string; readonly no: string; readonly what: readonly [string, string] },
): { type: string; status: string; reason: string; message: string } {
  return {
    type,
    status: present ? 'True' : 'False',
    reason: present ? words.yes : words.no,
    message: `kubelet has ${words.what[present ? 0 : 1]}`,
  };
}

/** The largest images first, as the scheduler reads them. */
function shownImages(images: readonly ImageSummary[]): NonNullable<NodeStatus['images']> {
  return images
    .filter(({ names }) => names.length > 0)
    .sort((a, b) => b.sizeBytes - a.sizeBytes || (a.id < b.id ? -1 : 1))
    .slice(0, IMAGES_MAX)
    .map(({ names, sizeBytes }) => ({ names: names.slice(0, NAMES_MAX), sizeBytes }));
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
