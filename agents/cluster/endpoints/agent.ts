/** The Endpoints controller: one Endpoints object beside each Service that selects pods. */

import { keyOf, parseKey } from '../../../src/client/keys.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { isManaged } from '../endpoint-pods.ts';
import { deleteIfPresent } from '../remove.ts';
import { podsOf, podWatch, serviceWatch } from '../service-watches.ts';
import { decideEndpoints, decideWrite, isOurs } from './decide.ts';

const NAME = 'endpoints';

/** The Endpoints controller as a cluster singleton. */
export function createEndpointsController(deps: ClusterAgentDeps) {
  return controller(
    deps,
    { name: NAME, component: 'endpoint-controller' },
    (context) =>
      runReconciler({
        ...context,
        name: NAME,
        concurrency: 8,
        watches: [
          serviceWatch,
          podWatch(context.client),
          // Only those of Services with a selector are ours to repair.
          { kind: 'Endpoints', keys: (endpoints) => [keyOf(endpoints)] },
        ],
        reconcile: (key) => reconcile(context, key),
      }).stopped,
  );
}

async function reconcile({ client }: ControllerContext, key: string): Promise<ReconcileResult> {
  const objectKey = parseKey(key);
  const service = client.informer('Service').get(objectKey);
  const present = client.informer('Endpoints').get(objectKey);
  if (!service) {
    if (present && isOurs(present)) await deleteIfPresent(client, 'Endpoints', present);
    return { kind: 'done' };
  }
  if (!isManaged(service)) return { kind: 'done' };
  const next = decideWrite(present, decideEndpoints(service, podsOf(client, service)));
  if (!next) return { kind: 'done' };
  if (present) await client.update('Endpoints', next);
  else await client.create('Endpoints', next);
  return { kind: 'done' };
}
