/** fieldRef and resourceFieldRef: values of the pod itself for env and downward API files. Pure. */

import { milliOf, quantityOf } from '../../../src/resources/quantity.ts';
import type { EnvVar, Pod } from './kinds.ts';
import { type AnyContainer, containerSpec } from './record.ts';

type EnvSource = NonNullable<EnvVar['valueFrom']>;
type FieldRef = NonNullable<EnvSource['fieldRef']>;
type ResourceFieldRef = NonNullable<EnvSource['resourceFieldRef']>;

/** What is known of the pod's place besides its object. */
export type FieldContext = {
  readonly pod: Pod;
  readonly nodeName: string;
  readonly podIPs: readonly string[];
  readonly hostIPs: readonly string[];
  /** Stand in for limits that a container does not state. */
  readonly allocatable: { readonly cpuMilli: number; readonly memoryBytes: number };
};

const SUBSCRIPT = /^metadata\.(annotations|labels)\['(.*)'\]$/;

/** The value of a field path; undefined if the path is not supported. */
export function fieldValue(context: FieldContext, ref: FieldRef): string | undefined {
  const { pod, podIPs, hostIPs } = context;
  const { metadata, spec } = pod;
  const keyed = SUBSCRIPT.exec(ref.fieldPath);
  if (keyed) {
    const from = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return from?.[keyed[2] ?? ''] ?? '';
  }
  switch (ref.fieldPath) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? 'default';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return mapText(metadata.labels);
    case 'metadata.annotations':
      return mapText(metadata.annotations);
    case 'spec.nodeName':
      return context.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'spec.restartPolicy':
      return spec.restartPolicy ?? 'Always';
    case 'status.hostIP':
      return hostIPs[0] ?? '';
    case 'status.hostIPs':
      return hostIPs.join(',');
    case 'status.podIP':
      return podIPs[0] ?? '';
    case 'status.podIPs':
      return podIPs.join(',');
    default:
      return undefined;
  }
}

/**
 * The value of a container's resource in units of the divisor, rounded up; undefined if the resource
 * or the container is not known.
 */
export function resourceFieldValue(
  context: FieldContext,
  ref: ResourceFieldRef,
  own: AnyContainer | undefined,
): string | undefined {
  const spec = ref.containerName ? containerSpec(context.pod, ref.containerName) : own;
  if (spec === undefined) return undefined;
  const [which, name] = ref.resource.split('.', 2);
  if (which !== 'limits' && which !== 'requests') return undefined;
  if (name === undefined) return undefined;
  const milli = resourceMilli(context, spec, which, name);
  const divisor = milliOf(quantityOf(ref.divisor)) || 1000;
  return String(Math.ceil(milli / divisor));
}

/** `key="value"` lines in key order, as downward API files show labels and annotations. */
export function mapText(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${goQuote(value)}`)
    .join('\n');
}

function resourceMilli(
  context: FieldContext,
  spec: AnyContainer,
  which: 'limits' | 'requests',
  name: string,
): number {
  const { limits, requests } = spec.resources ?? {};
  const stated = which === 'limits' ? limits?.[name] : (requests?.[name] ?? limits?.[name]);
  if (stated !== undefined) return milliOf(quantityOf(stated));
  if (which === 'requests') return 0;
  if (name === 'cpu') return context.allocatable.cpuMilli;
  if (name === 'memory') return context.allocatable.memoryBytes * 1000;
  return 0;
}

/** Go's %q for the texts that occur here. */
function goQuote(text: string): string {
  return JSON.stringify(text).replaceAll('\\u00', '\\x');
}
