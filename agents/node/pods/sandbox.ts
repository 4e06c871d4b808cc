/** Makes and unmakes a pod's sandbox: the container that holds its namespaces, and its network. */

import { hasCode, messageOf, SkeinError } from '../../../src/lib/errors.ts';
import { quantityOf, unitsOf } from '../../../src/resources/quantity.ts';
import { type Bounded, bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import { writeEtcFiles } from './etc-writer.ts';
import type { Pod } from './kinds.ts';
import type { ContainerRequest, PodNetworkTarget } from './ports.ts';
import { hostPortsOf, sandboxRequest } from './requests.ts';

export type MadeSandbox = { readonly id: string; readonly ips: readonly string[] };

/** Creates and starts the sandbox and connects it. Leaves nothing behind when it rejects. */
export async function makeSandbox(
  services: PodServices,
  pod: Pod,
  attempt: number,
  signal: AbortSignal,
): Promise<MadeSandbox> {
  const { runtime, settings, clock, slots, checkpoints } = services;
  const { sandboxImage } = settings;
  const call = { clock, signal };
  const id = await slots.run(async () => {
    const request = sandboxRequest(pod, settings, { image: sandboxImage, attempt });
    const made = await create(services, request, call);
    try {
      await bounded('start', call, (inner) => runtime.start(made, inner));
    } catch (error) {
      await discard(services, made);
      throw error;
    }
    return made;
  }, signal);
  try {
    const ips = await connect(services, pod, id, signal);
    await writeEtcFiles(settings, pod, ips);
    await checkpoints.saveSandbox(pod.metadata.uid ?? '', { id, ips });
    return { id, ips };
  } catch (error) {
    await removeSandbox(services, pod, id, new AbortController().signal).catch(() => {});
    throw error;
  }
}

/** The addresses of a sandbox found running: as saved, or asked of the network again. */
export async function adoptSandbox(
  services: PodServices,
  pod: Pod,
  id: string,
  signal: AbortSignal,
): Promise<MadeSandbox> {
  const { checkpoints, settings } = services;
  const uid = pod.metadata.uid ?? '';
  const saved = await checkpoints.sandbox(uid);
  if (saved?.id === id && (saved.ips.length > 0 || pod.spec.hostNetwork)) return saved;
  const ips = await connect(services, pod, id, signal);
  await writeEtcFiles(settings, pod, ips);
  await checkpoints.saveSandbox(uid, { id, ips });
  return { id, ips };
}

/** Disconnects the sandbox and removes it, running or not. Idempotent. */
export async function removeSandbox(
  services: PodServices,
  pod: Pod,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const { runtime, network, clock } = services;
  const call = { clock, signal };
  if (!pod.spec.hostNetwork) {
    const info = await bounded('inspect', call, (inner) => runtime.inspect(id, inner));
    const target = networkTarget(pod, id, netnsPath(info?.pid ?? 0));
    await bounded('detach', call, (inner) => network.detach(target, inner));
  }
  await bounded('remove', call, (inner) => runtime.remove(id, inner));
}

async function connect(
  services: PodServices,
  pod: Pod,
  id: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { runtime, network, clock } = services;
  if (pod.spec.hostNetwork) return [];
  const call = { clock, signal };
  const info = await bounded('inspect', call, (inner) => runtime.inspect(id, inner));
  if (info?.state !== 'running') {
    throw new SkeinError('runtime-failed', 'the sandbox ended right after its start', {
      retryable: true,
    });
  }
  const target = networkTarget(pod, id, netnsPath(info.pid));
  const { ips } = await bounded('attach', call, (inner) => network.attach(target, inner));
  return ips;
}

/** Creates the container. Its image may have been pruned: then it is made again for the next try. */
async function create(
  { runtime }: PodServices,
  request: ContainerRequest,
  call: Bounded,
): Promise<string> {
  try {
    return await bounded('create', call, (inner) => runtime.create(request, inner));
  } catch (error) {
    if (hasCode(error, 'runtime-failed')) {
      await bounded('create', call, (inner) => runtime.ensureSandboxImage(request.image, inner));
    }
    throw error;
  }
}

async function discard(services: PodServices, id: string): Promise<void> {
  const { runtime, clock, log } = services;
  const call = { clock, signal: new AbortController().signal };
  await bounded('remove', call, (inner) => runtime.remove(id, inner)).catch((error: unknown) => {
    log.warn({ id, error: messageOf(error) }, 'a sandbox that did not start is left behind');
  });
}

function netnsPath(pid: number): string {
  return pid > 0 ? `/proc/${pid}/ns/net` : '';
}

function networkTarget(pod: Pod, containerId: string, netns: string): PodNetworkTarget {
  const { metadata } = pod;
  const bandwidth = bandwidthOf(pod);
  return {
    podUid: metadata.uid ?? '',
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    containerId,
    netnsPath: netns,
    hostPorts: hostPortsOf(pod),
    ...(bandwidth ? { bandwidth } : {}),
  };
}

function bandwidthOf(pod: Pod): PodNetworkTarget['bandwidth'] {
  const { annotations = {} } = pod.metadata;
  const ingress = annotations['kubernetes.io/ingress-bandwidth'];
  const egress = annotations['kubernetes.io/egress-bandwidth'];
  if (!ingress && !egress) return undefined;
  return {
    ...(ingress ? { ingressBits: unitsOf(quantityOf(ingress)) } : {}),
    ...(egress ? { egressBits: unitsOf(quantityOf(egress)) } : {}),
  };
}
