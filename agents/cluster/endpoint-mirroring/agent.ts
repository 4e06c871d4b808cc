/** Mirrors Endpoints that users make for Services without a selector into EndpointSlices, which proxies read. */

import { keyOf, parseKey } from '../../../src/client/keys.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { Client, ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, controller } from '../controller.ts';
import type { EndpointSlice } from '../kinds.ts';
import { deleteIfPresent } from '../remove.ts';
import { sameStatus } from '../statuses.ts';
import { CONTROLLER, isMirrored, MANAGED_BY_LABEL, mirrorSlices, SERVICE_LABEL } from './decide.ts';

const NAME = 'endpoint-mirroring';
const INDEX = 'endpoint-mirroring/service';

/** The mirroring controller as a cluster singleton. */
export function createEndpointMirroring(deps: ClusterAgentDeps) {
  const names = { name: NAME, component: 'endpoint-slice-mirroring-controller' };
  return controller(deps, names, (context) => {
    context.client.informer('EndpointSlice').addIndex(INDEX, mirroredKeys);
    return runReconciler({
      ...context,
      name: NAME,
      watches: [
        { kind: 'Endpoints', keys: (endpoints) => [keyOf(endpoints)] },
        { kind: 'Service', keys: (service) => [keyOf(service)] },
        { kind: 'EndpointSlice', keys: mirroredKeys },
      ],
      reconcile: (key) => reconcile(context.client, key),
    }).stopped;
  });
}

async function reconcile(client: Client, key: string): Promise<ReconcileResult> {
  const objectKey = parseKey(key);
  const endpoints = client.informer('Endpoints').get(objectKey);
  const service = client.informer('Service').get(objectKey);
  const present = client.informer('EndpointSlice').byIndex(INDEX, key);
  const wanted = endpoints && isMirrored(endpoints, service) ? mirrorSlices(endpoints) : [];
  for (const slice of wanted) {
    const known = present.find(({ metadata }) => metadata.name === slice.metadata.name);
    if (!known) await client.create('EndpointSlice', slice);
    else if (!sameStatus(facts(known), facts(slice))) {
      const { labels = {}, ownerReferences = [] } = slice.metadata;
      const metadata = { ...known.metadata, labels, ownerReferences };
      await client.update('EndpointSlice', { ...slice, metadata });
    }
  }
  for (const slice of present) {
    if (wanted.some(({ metadata }) => metadata.name === slice.metadata.name)) continue;
    await deleteIfPresent(client, 'EndpointSlice', slice);
  }
  return { kind: 'done' };
}

function facts({ metadata, endpoints, ports }: EndpointSlice): unknown {
  return [metadata.labels, metadata.ownerReferences, endpoints ?? [], ports ?? []];
}

function mirroredKeys({ metadata }: EndpointSlice): readonly string[] {
  const service = metadata.labels?.[SERVICE_LABEL];
  if (service === undefined || metadata.labels?.[MANAGED_BY_LABEL] !== CONTROLLER) return [];
  return [`${metadata.namespace ?? ''}/${service}`];
}
