/** What is accepted but probably not meant: sent to clients as Warning headers, in upstream's words. */
import type { Container, PodSpec } from './generated/kinds.ts';

/** Node labels that have been renamed, with their successors. */
const RENAMED_LABELS: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region':
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone':
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type':
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

/** Warnings about the spec of a pod or template at `field`. */
export function podSpecWarnings(spec: PodSpec | undefined, field: string): string[] {
  if (spec === undefined) return [];
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    const why = RENAMED_LABELS[key];
    if (why !== undefined) warnings.push(`${field}.nodeSelector[${key}]: ${why}`);
  }
  for (const [index, volume] of (spec.volumes ?? []).entries()) {
    if (volume.gitRepo !== undefined) {
      warnings.push(`${field}.volumes[${index}].gitRepo: deprecated in v1.11`);
    }
  }
  for (const name of ['initContainers', 'containers'] as const) {
    for (const [index, container] of (spec[name] ?? []).entries()) {
      warnings.push(...containerWarnings(container, `${field}.${name}[${index}]`));
    }
  }
  return warnings;
}

function containerWarnings(container: Container, field: string): string[] {
  const warnings: string[] = [];
  const names = new Set<string>();
  for (const [index, variable] of (container.env ?? []).entries()) {
    if (names.has(variable.name)) {
      warnings.push(
        `${field}.env[${index}]: hides previous definition of "${variable.name}", which may be dropped when using apply`,
      );
    }
    names.add(variable.name);
  }
  return warnings;
}
