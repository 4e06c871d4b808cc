/** Nodes: one per machine, written by the machine itself. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN, wideColumn } from '../columns/common.ts';
import type { Node } from '../generated/kinds.ts';
import { validateNode, validateNodeUpdate } from '../validation/cluster.ts';
import { declareKind } from './support.ts';

const ROLE_PREFIX = 'node-role.kubernetes.io/';
const ROLE_LABEL = 'kubernetes.io/role';
const NONE = '<none>';
const UNKNOWN = '<unknown>';

/** The declaration of Node. */
export const nodeKind = declareKind<Node>({
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  shortNames: ['no'],
  categories: [],
  namespaced: false,
  schema: 'io.k8s.api.core.v1.Node',
  served: [],
  hasStatus: true,
  subresources: [],
  createOnUpdate: true,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  defaults: (node) => {
    node.spec ??= {};
    const status = node.status;
    if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
  },
  prepareUpdate: (node, old) => {
    node.status = old.status;
  },
  validate: validateNode,
  validateUpdate: validateNodeUpdate,
  validateStatusUpdate: validateNode,
  selectableFields: (node) => ({ 'spec.unschedulable': String(node.spec?.unschedulable ?? false) }),
  columns: [
    NAME_COLUMN,
    column('Status', 'The status of the node.'),
    column('Roles', 'The roles of the node.'),
    AGE_COLUMN,
    column('Version', 'Version the node reports.'),
    wideColumn('Internal-IP', 'Address within the cluster.'),
    wideColumn('External-IP', 'Address from outside.'),
    wideColumn('OS-Image', 'Operating system the node reports.'),
    wideColumn('Kernel-Version', 'Kernel the node reports.'),
    wideColumn('Container-Runtime', 'Container runtime and its version.'),
  ],
  cells: (node, nowMs) => [
    node.metadata.name,
    statusOf(node),
    rolesOf(node),
    ageCell(node, nowMs),
    node.status?.nodeInfo?.kubeletVersion ?? '',
    addressOf(node, 'InternalIP'),
    addressOf(node, 'ExternalIP'),
    node.status?.nodeInfo?.osImage || UNKNOWN,
    node.status?.nodeInfo?.kernelVersion || UNKNOWN,
    node.status?.nodeInfo?.containerRuntimeVersion || UNKNOWN,
  ],
});

function statusOf(node: Node): string {
  const ready = (node.status?.conditions ?? []).find(({ type }) => type === 'Ready');
  const words = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'];
  if (node.spec?.unschedulable === true) words.push('SchedulingDisabled');
  return words.join(',');
}

function rolesOf(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX)) roles.add(key.slice(ROLE_PREFIX.length));
    else if (key === ROLE_LABEL && value !== '') roles.add(value);
  }
  roles.delete('');
  return roles.size === 0 ? NONE : [...roles].sort().join(',');
}

function addressOf(node: Node, type: string): string {
  return (node.status?.addresses ?? []).find((address) => address.type === type)?.address ?? NONE;
}
