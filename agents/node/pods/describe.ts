/** What streams and other readers are told about a pod. Pure. */

import type { ContainerDescription, PodDescription } from './protocol.ts';
import type { ContainerRecord, PodRecord } from './record.ts';

/** The pod's addresses and which run of each container is meant by its name. */
export function describePod(record: PodRecord, hostIPs: readonly string[]): PodDescription {
  const { pod, sandbox, containers } = record;
  const own = sandbox.kind === 'ready' ? sandbox.ips : [];
  const described: Record<string, ContainerDescription> = {};
  for (const [name, container] of containers) described[name] = describeContainer(container);
  return { pod, podIPs: pod.spec.hostNetwork ? hostIPs : own, containers: described };
}

function describeContainer({ phase, last }: ContainerRecord): ContainerDescription {
  const previous = last?.containerId || undefined;
  switch (phase.kind) {
    case 'running':
    case 'stopping':
      return { id: phase.id, previousId: previous, running: true, waiting: undefined };
    case 'exited': {
      const id = phase.exit.containerId || undefined;
      const previousId = previous === id ? undefined : previous;
      return { id, previousId, running: false, waiting: undefined };
    }
    case 'waiting':
    case 'starting': {
      // Between two runs the latest one is still what its logs are asked for by name.
      const waiting = phase.kind === 'waiting' ? phase.reason : 'ContainerCreating';
      return { id: previous, previousId: previous, running: false, waiting };
    }
  }
}
