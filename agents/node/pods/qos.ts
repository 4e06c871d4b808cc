/** Quality-of-service class and the resource figures that follow from requests and limits. Pure. */

import { milliOf, quantityOf, unitsOf } from '../../../src/resources/quantity.ts';
import type { Container, Pod } from './kinds.ts';
import type { AnyContainer } from './record.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const COUNTED = ['cpu', 'memory'] as const;
const OOM_SCORE_BEST_EFFORT = 1000;

/** The pod's class, by the rules of upstream over cpu and memory of all its containers. */
export function qosClassOf(pod: Pod): QosClass {
  const containers: Container[] = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  let any = false;
  let guaranteed = true;
  for (const { resources } of containers) {
    for (const name of COUNTED) {
      const limit = quantityOf(resources?.limits?.[name]);
      // An absent request is defaulted from the limit by the API; be lenient about manifests that bypassed it.
      const request = quantityOf(resources?.requests?.[name] ?? resources?.limits?.[name]);
      if (limit.nanos > 0n || request.nanos > 0n) any = true;
      if (limit.nanos <= 0n || limit.nanos !== request.nanos) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** Milli-CPU asked for or allowed; undefined when not stated. */
export function cpuMilli(spec: AnyContainer, which: 'requests' | 'limits'): number | undefined {
  const value = spec.resources?.[which]?.['cpu'];
  return value === undefined ? undefined : milliOf(quantityOf(value));
}

/** Bytes of memory asked for or allowed; undefined when not stated. */
export function memoryBytes(spec: AnyContainer, which: 'requests' | 'limits'): number | undefined {
  const value = spec.resources?.[which]?.['memory'];
  return value === undefined ? undefined : unitsOf(quantityOf(value));
}

/**
 * How readily the kernel ends a container when memory runs out. Guaranteed pods stay at 0: negative
 * scores need a right that not every node grants.
 */
export function oomScoreAdj(pod: Pod, spec: AnyContainer, nodeMemoryBytes: number): number {
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed') return 0;
  if (qos === 'BestEffort') return OOM_SCORE_BEST_EFFORT;
  const request = memoryBytes(spec, 'requests') ?? 0;
  const score = 1000 - Math.floor((1000 * request) / Math.max(1, nodeMemoryBytes));
  return Math.min(OOM_SCORE_BEST_EFFORT - 1, Math.max(2, score));
}
