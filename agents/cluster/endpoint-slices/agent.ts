/** The EndpointSlice controller: what proxies and DNS read to find a Service's pods. */

import { parseKey } from '../../../src/client/keys.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { isManaged } from '../endpoint-pods.ts';
import type { EndpointSlice } from '../kinds.ts';
import { deleteIfPresent } from '../remove.ts';
import { podsOf, podWatch, serviceWatch } from '../service-watches.ts';
import { CONTROLLER, decideSlices, MANAGED_BY_LABEL, SERVICE_LABEL } from './decide.ts';

const NAME = 'endpoint-slices';
const INDEX = 'endpoint-slices/service';
const ZONE = 'topology.kubernetes.io/zone';

/** The EndpointSlice controller as a cluster singleton. */
export function createEndpointSlicesController(deps: ClusterAgentDeps) {
  return controller(deps, { name: NAME, component: 'endpoint-slice-controller' }, (context) => {
    context.client.informer('EndpointSlice').addIndex(INDEX, serviceKeys);
    return runReconciler({
      ...context,
      name: NAME,
      concurrency: 8,
      watches: [
        serviceWatch,
        podWatch(context.client),
        { kind: 'EndpointSlice', keys: serviceKeys },
        // Zones come from nodes; a node that changes its zone is rare enough to wait for the next change of a pod.
        { kind: 'Node', keys: () => [] },
      ],
      reconcile: (key) => reconcile(context, key),
    }).stopped;
  });
}

async function reconcile({ client }: ControllerContext, key: string): Promise<ReconcileResult> {
  const service = client.informer('Service').get(parseKey(key));
  const present = client.informer('EndpointSlice').byIndex(INDEX, key);
  if (!service || !isManaged(service)) {
    await Promise.all(present.map((slice) => deleteIfPresent(client, 'EndpointSlice', slice)));
    return { kind: 'done' };
  }
  if (service.metadata.deletionTimestamp !== undefined) return { kind: 'done' };
  const decision = decideSlices({
    service,
    pods: podsOf(client, service),
    present,
    zoneOf: (node) => client.informer('Node').get({ name: node })?.metadata.labels?.[ZONE],
  });
  // Endpoints that move must not be missing in between: what adds comes before what removes.
  await Promise.all(decision.create.map((slice) => client.create('EndpointSlice', slice)));
  await Promise.all(decision.update.map((slice) => client.update('EndpointSlice', slice)));
  await Promise.all(
    decision.delete.map((slice) => deleteIfPresent(client, 'EndpointSlice', slice)),
  );
  return { kind: 'done' };
}

/** Slices of other managers are none of ours. */
function serviceKeys({ metadata }: EndpointSlice): readonly string[] {
  const service = metadata.labels?.[SERVICE_LABEL];
  if (service === undefined || metadata.labels?.[MANAGED_BY_LABEL] !== CONTROLLER) return [];
  return [`${metadata.namespace ?? ''}/${service}`];
}
