/** What the simulation of agents uses of the product, all of one copy. */

import type * as clusterAgents from '../../../agents/cluster/index.ts';
import type * as podsAgent from '../../../agents/node/pods/agent.ts';
import type * as memoryRuntime from '../../../agents/node/pods/runtime/memory-runtime.ts';
import type * as memoryNftables from '../../../agents/node/proxy/memory-nftables.ts';
import type * as proxy from '../../../agents/node/proxy/proxy.ts';
import type * as singleton from '../../../src/actors/singleton.ts';
import type * as actors from '../../../src/actors/system.ts';
import type * as verbs from '../../../src/api/verbs/index.ts';
import type * as localClient from '../../../src/client/local-client.ts';
import type * as errors from '../../../src/lib/errors.ts';
import type * as heartbeats from '../../../src/node/heartbeats.ts';
import type * as members from '../../../src/node/members.ts';
import type * as registry from '../../../src/resources/registry.ts';
import type { Product } from '../world/product.ts';

export type AgentDoors = Pick<typeof clusterAgents, 'clusterAgents' | 'CLUSTER_FENCE'> &
  Pick<typeof podsAgent, 'createPodsAgent'> &
  Pick<typeof memoryRuntime, 'MemoryRuntime'> &
  Pick<typeof memoryNftables, 'MemoryNftables'> &
  Pick<typeof proxy, 'createProxy'> &
  Pick<typeof singleton, 'createSingletonHost'> &
  Pick<typeof actors, 'createActorSystem'> &
  Pick<typeof verbs, 'createVerbs'> &
  Pick<typeof localClient, 'createLocalClient'> &
  Pick<typeof errors, 'messageOf' | 'SkeinError'> &
  Pick<typeof heartbeats, 'startHeartbeats'> &
  Pick<typeof members, 'putMember'> &
  Pick<typeof registry, 'allKinds'>;

const DOORS = [
  'agents/cluster/index.ts',
  'agents/node/pods/agent.ts',
  'agents/node/pods/runtime/memory-runtime.ts',
  'agents/node/proxy/memory-nftables.ts',
  'agents/node/proxy/proxy.ts',
  'src/actors/singleton.ts',
  'src/actors/system.ts',
  'src/api/verbs/index.ts',
  'src/client/local-client.ts',
  'src/lib/errors.ts',
  'src/node/heartbeats.ts',
  'src/node/members.ts',
  'src/resources/registry.ts',
];

const opened = new Map<Product, Promise<AgentDoors>>();

/** The agents of this copy. */
export function doorsOf(product: Product): Promise<AgentDoors> {
  let doors = opened.get(product);
  if (doors === undefined) {
    doors = Promise.all(DOORS.map((file) => product.load(file))).then(
      (modules) => Object.assign({}, ...modules) as AgentDoors,
    );
    opened.set(product, doors);
  }
  return doors;
}
