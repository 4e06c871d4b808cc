/** Pods. The spec is fixed at creation but for a few fields; the node that runs a pod writes its status. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN, wideColumn } from '../columns/common.ts';
import { summarizePod } from '../columns/pod-status.ts';
import { defaultPod } from '../defaults/pod-spec.ts';
import type { Pod } from '../generated/kinds.ts';
import { qosClassOf } from '../qos.ts';
import type { ResourceKind } from '../types.ts';
import { validatePodCreate } from '../validation/pod-spec.ts';
import { validatePodStatusUpdate, validatePodUpdate } from '../validation/pod-update.ts';
import { podSpecWarnings } from '../warnings.ts';
import { assignOptional, PROXY_VERBS } from './support.ts';

const NONE = '<none>';

/** The declaration of Pod. */
export const podKind: ResourceKind<Pod> = {
  group: '',
  version: 'v1',
  kind: 'Pod',
  listKind: 'PodList',
  plural: 'pods',
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.Pod',
  served: [],
  hasStatus: true,
  subresources: [
    { name: 'attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
    { name: 'binding', kind: 'Binding', verbs: ['create'] },
    { name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
    { name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
    { name: 'log', kind: 'Pod', verbs: ['get'] },
    { name: 'portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
    { name: 'proxy', kind: 'PodProxyOptions', verbs: PROXY_VERBS },
  ],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: true,
  defaults: defaultPod,
  prepareCreate: (pod) => {
    pod.metadata.generation = 1;
    pod.status = { phase: 'Pending', qosClass: qosClassOf(pod) };
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      pod.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'SchedulingGated',
          message: 'Scheduling is blocked due to non-empty scheduling gates',
        },
      ];
    }
  },
  prepareUpdate: (pod, old) => {
    assignOptional(pod, 'status', old.status);
  },
  prepareStatusUpdate: (pod, old) => {
    // The class follows from the spec; a status without it keeps it.
    if (pod.status !== undefined) {
      assignOptional(pod.status, 'qosClass', pod.status.qosClass ?? old.status?.qosClass);
    }
  },
  validate: validatePodCreate,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  warnings: (pod) => podSpecWarnings(pod.spec, 'spec'),
  gracePeriodSeconds: graceOf,
  selectableFields: (pod) => ({
    'spec.nodeName': pod.spec?.nodeName ?? '',
    'spec.restartPolicy': pod.spec?.restartPolicy ?? '',
    'spec.schedulerName': pod.spec?.schedulerName ?? '',
    'spec.serviceAccountName': pod.spec?.serviceAccountName ?? '',
    'spec.hostNetwork': String(pod.spec?.hostNetwork ?? false),
    'status.phase': pod.status?.phase ?? '',
    'status.podIP': pod.status?.podIP ?? '',
    'status.nominatedNodeName': pod.status?.nominatedNodeName ?? '',
  }),
  columns: [
    NAME_COLUMN,
    column('Ready', 'Ready containers of all containers.'),
    column('Status', 'The state of the pod, summed up.'),
    column('Restarts', 'Restarts of its containers, and when the last was.'),
    AGE_COLUMN,
    wideColumn('IP', 'Address of the pod.'),
    wideColumn('Node', 'Node the pod is assigned to.'),
    wideColumn('Nominated Node', 'Node on which room is being made for the pod.'),
    wideColumn('Readiness Gates', 'Readiness gates that are open, of all.'),
  ],
  cells: (pod, nowMs) => {
    const summary = summarizePod(pod, nowMs);
    return [
      pod.metadata.name,
      summary.ready,
      summary.status,
      summary.restarts,
      ageCell(pod, nowMs),
      pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || NONE,
      pod.spec?.nodeName || NONE,
      pod.status?.nominatedNodeName || NONE,
      readinessGates(pod),
    ];
  },
};

/** A pod that runs nowhere (any more) needs no grace; otherwise as asked, as declared, or at once. */
function graceOf(pod: Pod, requested: number | undefined): number {
  const phase = pod.status?.phase;
  if (!pod.spec.nodeName || phase === 'Succeeded' || phase === 'Failed') return 0;
  const seconds = requested ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  return seconds < 0 ? 1 : seconds;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return NONE;
  const open = gates.filter((gate) =>
    (pod.status?.conditions ?? []).some(
      (condition) => condition.type === gate.conditionType && condition.status === 'True',
    ),
  );
  return `${open.length}/${gates.length}`;
}
