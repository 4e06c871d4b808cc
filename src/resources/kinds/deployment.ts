/** Deployments, in apps/v1 and in the group versions of 2015 to 2017. */
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
import type { Deployment, DeploymentSpec } from '../generated/kinds.ts';
import { formatLabelSelector } from '../labels.ts';
import {
  validateDeployment,
  validateReplicaCounts,
  validateSelectorUnchanged,
} from '../validation/workloads.ts';
import { podSpecWarnings } from '../warnings.ts';
import { legacyVersion } from './legacy-workloads.ts';
import { assignOptional, countGeneration, declareKind, startGeneration } from './support.ts';

/** "Never" for the versions that knew no limit. */
const UNLIMITED = 2 ** 31 - 1;

/** What a version fills in when a manifest is silent. */
type DeploymentDefaults = {
  readonly share: number | string;
  readonly revisionHistoryLimit: number;
  readonly progressDeadlineSeconds: number;
};

const CURRENT: DeploymentDefaults = {
  share: '25%',
  revisionHistoryLimit: 10,
  progressDeadlineSeconds: 600,
};

/** The declaration of Deployment. */
export const deploymentKind = declareKind<Deployment>({
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  shortNames: ['deploy'],
  categories: ['all'],
  namespaced: true,
  schema: 'io.k8s.api.apps.v1.Deployment',
  served: [
    legacyVersion<Deployment>('Deployment', 'extensions', 'v1beta1', {
      since: 'v1.9',
      defaults: (deployment) =>
        defaultSpec(deployment.spec, {
          share: 1,
          revisionHistoryLimit: UNLIMITED,
          progressDeadlineSeconds: UNLIMITED,
        }),
    }),
    legacyVersion<Deployment>('Deployment', 'apps', 'v1beta1', {
      since: 'v1.9',
      defaults: (deployment) =>
        defaultSpec(deployment.spec, { ...CURRENT, revisionHistoryLimit: 2 }),
    }),
    legacyVersion<Deployment>('Deployment', 'apps', 'v1beta2', { since: 'v1.9' }),
  ],
  hasStatus: true,
  scale: {
    getReplicas: (deployment) => deployment.spec.replicas ?? 1,
    setReplicas: (deployment, replicas) => {
      deployment.spec.replicas = replicas;
    },
    getStatusReplicas: (deployment) => deployment.status?.replicas ?? 0,
    getSelector: (deployment) => formatLabelSelector(deployment.spec.selector),
  },
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: true,
  defaults: (deployment) => {
    const spec = deployment.spec ?? {};
    deployment.spec = spec;
    defaultSpec(spec, CURRENT);
    if (spec.template !== undefined) defaultPodTemplate(spec.template);
  },
  prepareCreate: (deployment) => {
    startGeneration(deployment);
    deployment.status = {};
  },
  prepareUpdate: (deployment, old) => {
    assignOptional(deployment, 'status', old.status);
    countGeneration(deployment, old);
  },
  validate: validateDeployment,
  warnings: (deployment) => podSpecWarnings(deployment.spec.template?.spec, 'spec.template.spec'),
  validateUpdate: (deployment, old) =>
    validateSelectorUnchanged(deployment.spec.selector, old.spec.selector),
  validateStatusUpdate: (deployment) => validateReplicaCounts(deployment.status),
  columns: [
    NAME_COLUMN,
    column('Ready', 'Ready pods of the pods wanted.'),
    column('Up-to-date', 'Pods made from the current template.', 'string'),
    column('Available', 'Pods that have been ready long enough.', 'string'),
    AGE_COLUMN,
    ...TEMPLATE_COLUMNS,
    wideColumn('Selector', 'Label selector of its pods.'),
  ],
  cells: (deployment, nowMs) => [
    deployment.metadata.name,
    `${deployment.status?.readyReplicas ?? 0}/${deployment.spec?.replicas ?? 0}`,
    deployment.status?.updatedReplicas ?? 0,
    deployment.status?.availableReplicas ?? 0,
    ageCell(deployment, nowMs),
    ...templateCells(deployment.spec?.template),
    formatLabelSelector(deployment.spec?.selector),
  ],
});

function defaultSpec(spec: DeploymentSpec, defaults: DeploymentDefaults): void {
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= 'RollingUpdate';
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= defaults.share;
    spec.strategy.rollingUpdate.maxSurge ??= defaults.share;
  }
  spec.revisionHistoryLimit ??= defaults.revisionHistoryLimit;
  spec.progressDeadlineSeconds ??= defaults.progressDeadlineSeconds;
}
