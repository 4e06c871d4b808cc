/**
 * Workloads in the group versions before apps/v1. The fields are the same but for a rollback request; what
 * differed was the defaults, the selector's above all: until apps/v1beta2 it followed from the template's labels.
 */
import type { LabelSelector, PodTemplateSpec } from '../generated/kinds.ts';
import type { KubeObject, ServedVersion } from '../types.ts';

/** Where upstream keeps `spec.rollbackTo.revision` in versions that no longer have it. */
const ROLLBACK_ANNOTATION = 'deprecated.deployment.rollback.to';

type Workload = KubeObject & {
  spec: { selector?: LabelSelector | undefined; template?: PodTemplateSpec | undefined };
};

type LegacySpec = { rollbackTo?: { revision?: number } };

type LegacyOptions<T> = {
  /** Release that deprecated the version, for the warning. */
  readonly since: string;
  /** The version's own defaults, besides the selector's. */
  readonly defaults?: (object: T) => void;
};

/** One older version of a workload kind, served by conversion to and from apps/v1. */
export function legacyVersion<T extends Workload>(
  kind: string,
  group: string,
  version: string,
  options: LegacyOptions<T>,
): ServedVersion<T> {
  const derivesSelector = version === 'v1beta1';
  return {
    group,
    version,
    schema: `io.k8s.api.${group}.${version}.${kind}`,
    deprecated: `${group}/${version} ${kind} is deprecated in ${options.since}+, unavailable in v1.16+; use apps/v1 ${kind}`,
    defaults: (object) => {
      object.spec ??= {};
      if (derivesSelector) selectTemplate(object);
      options.defaults?.(object);
    },
    toStorage: (object) => toApps(object as T),
    fromStorage: (object) => fromApps(object, `${group}/${version}`),
  };
}

/** A selector that is absent selects the template's labels, and an object without labels gets them too. */
function selectTemplate(object: Workload): void {
  const labels = object.spec.template?.metadata?.labels;
  if (labels === undefined || Object.keys(labels).length === 0) return;
  object.spec.selector ??= { matchLabels: { ...labels } };
  if (Object.keys(object.metadata.labels ?? {}).length === 0) {
    object.metadata.labels = { ...labels };
  }
}

function toApps<T extends Workload>(object: T): T {
  object.apiVersion = 'apps/v1';
  const spec = object.spec as LegacySpec | undefined;
  if (spec?.rollbackTo !== undefined) {
    object.metadata.annotations = {
      ...object.metadata.annotations,
      [ROLLBACK_ANNOTATION]: String(spec.rollbackTo.revision ?? 0),
    };
    delete spec.rollbackTo;
  }
  return object;
}

function fromApps(object: Workload, apiVersion: string): KubeObject {
  const revision = object.metadata.annotations?.[ROLLBACK_ANNOTATION];
  if (revision === undefined || apiVersion === 'apps/v1beta2') return { ...object, apiVersion };
  const { [ROLLBACK_ANNOTATION]: _revision, ...annotations } = object.metadata.annotations ?? {};
  const shown = {
    ...object,
    apiVersion,
    metadata: { ...object.metadata, annotations },
    spec: { ...object.spec, rollbackTo: { revision: Number(revision) } },
  };
  return shown;
}
