/** Which form of discovery an Accept header asks for: the aggregated document (kubectl since 1.26) or the older ones. */

import type { AggregatedVersion } from '../discovery/documents.ts';
import { mediaRanges } from './negotiate.ts';

/** The aggregated version asked for, or undefined for the older documents. */
export function aggregatedVersion(accept: string | undefined): AggregatedVersion | undefined {
  if (accept === undefined || !accept.includes('APIGroupDiscoveryList')) return undefined;
  for (const { type, parameters } of mediaRanges(accept)) {
    if (type !== 'application/json' && type !== '*/*') continue;
    if (parameters.get('as') !== 'APIGroupDiscoveryList') return undefined;
    if (parameters.get('g') !== 'apidiscovery.k8s.io') continue;
    const version = parameters.get('v');
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}

/** The Content-Type by which clients recognize the aggregated form. */
export function aggregatedType(version: AggregatedVersion): string {
  return `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
}
