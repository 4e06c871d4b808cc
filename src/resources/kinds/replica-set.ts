/** ReplicaSets. */
import {
  AGE_COLUMN,
  ageCell,
  column,
  NAME_COLUMN,
  TEMPLATE_COLUMNS,
  templateCells,
  wideColumn,
} from '../columns/common.ts';
import { defaultPodTemplate } from '../defaults/pod-spec.ts';
import type { ReplicaSet } from '../generated/kinds.ts';
import { formatLabelSelector } from '../labels.ts';
import {
  validateReplicaCounts,
  validateReplicaSet,
  validateSelectorUnchanged,
} from '../validation/workloads.ts';
import { podSpecWarnings } from '../warnings.ts';
import { legacyVersion } from './legacy-workloads.ts';
import { assignOptional, countGeneration, declareKind, startGeneration } from './support.ts';

/** The declaration of ReplicaSet. */
export const replicaSetKind = declareKind<ReplicaSet>({
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  shortNames: ['rs'],
  categories: ['all'],
  namespaced: true,
  schema: 'io.k8s.api.apps.v1.ReplicaSet',
  served: [
    legacyVersion<ReplicaSet>('ReplicaSet', 'extensions', 'v1beta1', { since: 'v1.8' }),
    legacyVersion<ReplicaSet>('ReplicaSet', 'apps', 'v1beta2', { since: 'v1.9' }),
  ],
  hasStatus: true,
  scale: {
    getReplicas: (replicaSet) => replicaSet.spec.replicas ?? 1,
    setReplicas: (replicaSet, replicas) => {
      replicaSet.spec.replicas = replicas;
    },
    getStatusReplicas: (replicaSet) => replicaSet.status?.replicas ?? 0,
    getSelector: (replicaSet) => formatLabelSelector(replicaSet.spec.selector),
  },
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: true,
  defaults: (replicaSet) => {
    const spec = replicaSet.spec ?? {};
    replicaSet.spec = spec;
    spec.replicas ??= 1;
    if (spec.template !== undefined) defaultPodTemplate(spec.template);
  },
  prepareCreate: (replicaSet) => {
    startGeneration(replicaSet);
    replicaSet.status = { replicas: 0 };
  },
  prepareUpdate: (replicaSet, old) => {
    assignOptional(replicaSet, 'status', old.status);
    countGeneration(replicaSet, old);
  },
  validate: validateReplicaSet,
  warnings: (replicaSet) => podSpecWarnings(replicaSet.spec.template?.spec, 'spec.template.spec'),
  validateUpdate: (replicaSet, old) =>
    validateSelectorUnchanged(replicaSet.spec.selector, old.spec.selector),
  validateStatusUpdate: (replicaSet) => validateReplicaCounts(replicaSet.status),
  selectableFields: (replicaSet) => ({
    'status.replicas': String(replicaSet.status?.replicas ?? 0),
  }),
  columns: [
    NAME_COLUMN,
    column('Desired', 'Pods wanted.', 'integer'),
    column('Current', 'Pods that exist.', 'integer'),
    column('Ready', 'Pods that are ready.', 'integer'),
    AGE_COLUMN,
    ...TEMPLATE_COLUMNS,
    wideColumn('Selector', 'Label selector of its pods.'),
  ],
  cells: (replicaSet, nowMs) => [
    replicaSet.metadata.name,
    replicaSet.spec?.replicas ?? 0,
    replicaSet.status?.replicas ?? 0,
    replicaSet.status?.readyReplicas ?? 0,
    ageCell(replicaSet, nowMs),
    ...templateCells(replicaSet.spec?.template),
    formatLabelSelector(replicaSet.spec?.selector),
  ],
});
