/** The cluster agents: everything that runs once in the cluster, on the leader. */

import type { Behaviour, LeadershipScope } from '../../src/actors/types.ts';
import type { ResourceKind } from '../../src/resources/types.ts';
import { sweptKinds } from './cluster-kinds.ts';
import type { ClusterAgentDeps } from './controller.ts';
import { createDeploymentController } from './deployment/agent.ts';
import { createEndpointMirroring } from './endpoint-mirroring/agent.ts';
import { createEndpointSlicesController } from './endpoint-slices/agent.ts';
import { createEndpointsController } from './endpoints/agent.ts';
import type { EventTtlOptions } from './event-ttl/agent.ts';
import { createEventTtl } from './event-ttl/agent.ts';
import { createGarbageCollector } from './garbage-collector/agent.ts';
import type { KubernetesServiceOptions } from './kubernetes-service/agent.ts';
import { createKubernetesServiceController } from './kubernetes-service/agent.ts';
import { createNamespaceController } from './namespace/agent.ts';
import type { NodeIpamOptions } from './node-ipam/agent.ts';
import { createNodeIpam } from './node-ipam/agent.ts';
import type { NodeLifecycleOptions } from './node-lifecycle/agent.ts';
import { createNodeLifecycle } from './node-lifecycle/agent.ts';
import type { PodGcOptions } from './pod-gc/agent.ts';
import { createPodGc } from './pod-gc/agent.ts';
import { createReplicaSetController } from './replicaset/agent.ts';
import type { SchedulerOptions } from './scheduler/agent.ts';
import { createScheduler } from './scheduler/agent.ts';
import { createServiceAccountController } from './service-account/agent.ts';

export { CLUSTER_FENCE, type ClusterAgentDeps } from './controller.ts';
export * from './node-lifecycle/protocol.ts';

export type ClusterAgentsOptions = {
  /** Every kind the API serves. */
  readonly kinds: readonly ResourceKind[];
  /** The cluster CA's certificate, PEM: handed to pods in every namespace. */
  readonly caCertificate: string;
  readonly eventTtl?: EventTtlOptions;
  readonly kubernetesService?: KubernetesServiceOptions;
  readonly nodeIpam?: NodeIpamOptions;
  readonly nodeLifecycle?: NodeLifecycleOptions;
  readonly podGc?: PodGcOptions;
  readonly scheduler?: SchedulerOptions;
};

/** One agent: the composition spawns `singleton(scope)` under `name` while its node leads. */
export type ClusterAgent = {
  readonly name: string;
  // Each agent has messages of its own; whoever tells it something knows them from its protocol.
  readonly singleton: (scope: LeadershipScope) => Behaviour<never, unknown>;
  /** Fills the caches on nodes that do not lead, so that taking over is immediate. */
  readonly warmUp: (signal: AbortSignal) => Promise<void>;
};

/** All cluster agents, in the order in which they should start. */
export function clusterAgents(
  deps: ClusterAgentDeps,
  options: ClusterAgentsOptions,
): readonly ClusterAgent[] {
  const { kinds, caCertificate } = options;
  const warmUp = async (signal: AbortSignal) => {
    const swept = sweptKinds(kinds);
    await Promise.all(swept.map(({ kind }) => deps.client.informer(kind).whenSynced(signal)));
  };
  const agents = [
    agent('namespace', createNamespaceController(deps, { kinds })),
    agent('service-account', createServiceAccountController(deps, { caCertificate })),
    agent('kubernetes-service', createKubernetesServiceController(deps, options.kubernetesService)),
    agent('node-ipam', createNodeIpam(deps, options.nodeIpam)),
    agent('node-lifecycle', createNodeLifecycle(deps, options.nodeLifecycle)),
    agent('endpoints', createEndpointsController(deps)),
    agent('endpoint-slices', createEndpointSlicesController(deps)),
    agent('endpoint-mirroring', createEndpointMirroring(deps)),
    agent('scheduler', createScheduler(deps, options.scheduler)),
    agent('replicaset', createReplicaSetController(deps)),
    agent('deployment', createDeploymentController(deps)),
    agent('garbage-collector', createGarbageCollector(deps, { kinds })),
    agent('pod-gc', createPodGc(deps, options.podGc)),
    agent('event-ttl', createEventTtl(deps, { ...declaredTtl(kinds), ...options.eventTtl })),
  ];
  return agents.map((one) => ({ ...one, warmUp }));
}

/** How long Events live, as their kind declares it. */
function declaredTtl(kinds: readonly ResourceKind[]): EventTtlOptions {
  const ttlMs = kinds.find(({ group, kind }) => group === '' && kind === 'Event')?.ttlMs;
  return ttlMs === undefined ? {} : { ttlMs };
}

function agent<M, S>(
  name: string,
  singleton: (scope: LeadershipScope) => Behaviour<M, S>,
): Omit<ClusterAgent, 'warmUp'> {
  return { name, singleton: singleton as unknown as ClusterAgent['singleton'] };
}
