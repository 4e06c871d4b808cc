/** Quality of service: how a pod ranks when a node runs short. */
import type { Pod } from './generated/kinds.ts';
import { compareQuantities, quantityOf } from './quantity.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** Only these resources count. */
const COUNTED = ['cpu', 'memory'] as const;

/**
 * Guaranteed if every container limits CPU and memory and requests as much; BestEffort if none asks for
 * either; Burstable otherwise.
 */
export function qosClassOf(pod: Pod): QosClass {
  let anything = false;
  let guaranteed = true;
  for (const container of [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]) {
    for (const name of COUNTED) {
      const request = quantityOf(container.resources?.requests?.[name]);
      const limit = quantityOf(container.resources?.limits?.[name]);
      if (request.nanos > 0n || limit.nanos > 0n) anything = true;
      if (limit.nanos === 0n || compareQuantities(request, limit) !== 0) guaranteed = false;
    }
  }
  if (!anything) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
