/** Which Services a pod's change concerns: the watches that both endpoint controllers share. */

import { keyOf } from '../../src/client/keys.ts';
import type { WatchOf } from '../../src/client/reconciler.ts';
import type { Client } from '../../src/client/types.ts';
import { endpointFacts, selects } from './endpoint-pods.ts';
import type { Pod, Service } from './kinds.ts';
import { addLabelIndex, labelledPods } from './pod-index.ts';

/** A Service concerns itself. */
export const serviceWatch: WatchOf<'Service'> = {
  kind: 'Service',
  keys: (service) => [keyOf(service)],
};

/** A pod concerns the Services that select it, before and after the change. */
export function podWatch(client: Client): WatchOf<'Pod'> {
  addLabelIndex(client.informer('Pod'));
  return {
    kind: 'Pod',
    keys: (pod) => servicesOf(client, pod).map(keyOf),
    filter: (event) =>
      event.type !== 'modified' || endpointFacts(event.object) !== endpointFacts(event.previous),
  };
}

/** The pods that `service` selects now. */
export function podsOf(client: Client, service: Service): readonly Pod[] {
  const { namespace = '' } = service.metadata;
  const labelled = labelledPods(client.informer('Pod'), namespace, service.spec.selector ?? {});
  return labelled.filter((pod) => selects(service, pod));
}

function servicesOf(client: Client, pod: Pod): readonly Service[] {
  const { namespace = '' } = pod.metadata;
  return client
    .informer('Service')
    .list(namespace)
    .filter((service) => selects(service, pod));
}
