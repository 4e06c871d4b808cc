/** Logs, exec, attach and port-forward for containers of this node. */

import type { AskResult } from '../../../../src/actors/types.ts';
import type { ContainerStreams, ContainerTarget } from '../../../../src/lib/container-streams.ts';
import { SkeinError } from '../../../../src/lib/errors.ts';
import type { ContainerRuntime, Dialer } from '../ports.ts';
import type { ContainerDescription, PodDescription } from '../protocol.ts';

export type StreamsDeps = {
  readonly runtime: ContainerRuntime;
  readonly dialer: Dialer;
  /** Asks the pod's actor; undefined when this node has no such pod. */
  readonly describe: (podUid: string) => Promise<AskResult<PodDescription>> | undefined;
};

/** The streams port over the runtime. */
export function createStreams(deps: StreamsDeps): ContainerStreams {
  const { runtime, dialer } = deps;
  return {
    async logs(target, options, signal) {
      const { previous = false, ...rest } = options;
      const id = loggedRun(target, await containerOf(deps, target), previous);
      return runtime.logs(id, rest, signal);
    },
    async exec(target, options, signal) {
      return runtime.exec(runningId(target, await containerOf(deps, target)), options, signal);
    },
    async attach(target, options, signal) {
      return runtime.attach(runningId(target, await containerOf(deps, target)), options, signal);
    },
    async portForward(target, port, signal) {
      const { podIPs, pod } = await podOf(deps, target);
      const [ip] = podIPs;
      if (ip === undefined) throw failed(`pod ${pod.metadata.name} has no address yet`);
      return dialer.connect(pod.spec.hostNetwork ? '127.0.0.1' : ip, port, signal);
    },
  };
}

type PodTarget = Omit<ContainerTarget, 'container'>;

async function podOf(deps: StreamsDeps, target: PodTarget): Promise<PodDescription> {
  const asked = await deps.describe(target.podUid);
  if (asked === undefined) throw failed(`pod ${target.pod} is not on this node (any more)`);
  if (asked.kind === 'failed') throw failed(`pod ${target.pod} does not answer: ${asked.reason}`);
  return asked.value;
}

async function containerOf(
  deps: StreamsDeps,
  target: ContainerTarget,
): Promise<ContainerDescription> {
  const { containers } = await podOf(deps, target);
  const container = containers[target.container];
  if (container === undefined) {
    throw failed(`container ${target.container} is not valid for pod ${target.pod}`);
  }
  return container;
}

function loggedRun(
  target: ContainerTarget,
  container: ContainerDescription,
  previous: boolean,
): string {
  const quoted = `container "${target.container}" in pod "${target.pod}"`;
  if (previous) {
    if (container.previousId) return container.previousId;
    throw failed(`previous terminated ${quoted} not found`);
  }
  if (container.id) return container.id;
  throw failed(`${quoted} is waiting to start: ${container.waiting ?? 'ContainerCreating'}`);
}

function runningId(target: ContainerTarget, container: ContainerDescription): string {
  if (container.running && container.id) return container.id;
  throw failed(`container not found ("${target.container}")`);
}

function failed(message: string): SkeinError {
  return new SkeinError('runtime-failed', message);
}
