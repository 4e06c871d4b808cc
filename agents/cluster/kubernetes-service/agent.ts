/** Keeps the `kubernetes` Service in `default` and its endpoints, by which pods reach the API. */

import { isAlreadyExists } from '../../../src/client/errors.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { Client, ReconcileResult } from '../../../src/client/types.ts';
import type { KubeObject } from '../../../src/resources/types.ts';
import { type ClusterAgentDeps, controller } from '../controller.ts';
import type { Node } from '../kinds.ts';
import { sameStatus } from '../statuses.ts';
import { apiAddresses, kubernetesEndpoints, kubernetesService, kubernetesSlice } from './decide.ts';

export type KubernetesServiceOptions = {
  /** First address of the Service range. Default 10.96.0.1. */
  readonly serviceIp?: string;
  /** The port at which every node serves the API. Default 6443. */
  readonly apiPort?: number;
};

const NAME = 'kubernetes-service';
const KEY = { namespace: 'default', name: 'kubernetes' };

/** The keeper of the `kubernetes` Service as a cluster singleton. */
export function createKubernetesServiceController(
  deps: ClusterAgentDeps,
  options: KubernetesServiceOptions = {},
) {
  const { serviceIp = '10.96.0.1', apiPort = 6443 } = options;
  const isKey = ({ metadata }: Pick<KubeObject, 'metadata'>) =>
    metadata.namespace === KEY.namespace && metadata.name === KEY.name ? ['all'] : [];
  return controller(deps, { name: NAME, component: 'kubernetes-service' }, async (context) => {
    const { client, signal } = context;
    await client.informer('Namespace').whenSynced(signal);
    const reconciler = runReconciler({
      ...context,
      name: NAME,
      watches: [
        {
          kind: 'Node',
          keys: () => ['all'],
          filter: (event) =>
            event.type !== 'modified' || reach(event.object) !== reach(event.previous),
        },
        { kind: 'Service', keys: isKey },
        { kind: 'Endpoints', keys: isKey },
        { kind: 'EndpointSlice', keys: isKey },
        {
          kind: 'Namespace',
          keys: ({ metadata }) => (metadata.name === KEY.namespace ? ['all'] : []),
        },
      ],
      reconcile: () => reconcile(client, serviceIp, apiPort),
    });
    reconciler.add('all');
    await reconciler.stopped;
  });
}

async function reconcile(
  client: Client,
  serviceIp: string,
  apiPort: number,
): Promise<ReconcileResult> {
  if (!client.informer('Namespace').get({ name: KEY.namespace })) return { kind: 'done' };
  if (!client.informer('Service').get(KEY)) {
    const service = kubernetesService(serviceIp, apiPort);
    await client.create('Service', service).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }
  const { addresses, port } = apiAddresses(client.informer('Node').list(), apiPort);
  // Without a single ready node the old addresses are a better guess than none.
  if (addresses.length === 0) return { kind: 'done' };
  await writeEndpoints(client, { addresses, port });
  await writeSlice(client, { addresses, port });
  return { kind: 'done' };
}

async function writeEndpoints(
  client: Client,
  api: Parameters<typeof kubernetesEndpoints>[0],
): Promise<void> {
  const wanted = kubernetesEndpoints(api);
  const present = client.informer('Endpoints').get(KEY);
  if (!present) await client.create('Endpoints', wanted);
  else if (!sameStatus(present.subsets ?? [], wanted.subsets ?? [])) {
    await client.update('Endpoints', { ...wanted, metadata: present.metadata });
  }
}

async function writeSlice(
  client: Client,
  api: Parameters<typeof kubernetesSlice>[0],
): Promise<void> {
  const wanted = kubernetesSlice(api);
  const present = client.informer('EndpointSlice').get(KEY);
  if (!present) await client.create('EndpointSlice', wanted);
  else if (!sameStatus([present.endpoints, present.ports], [wanted.endpoints, wanted.ports])) {
    await client.update('EndpointSlice', { ...wanted, metadata: present.metadata });
  }
}

function reach(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready')?.status;
  return JSON.stringify([ready, node.status?.addresses]);
}
