/** Namespaces. A deleted one lives on until its finalizer is gone. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { Namespace } from '../generated/kinds.ts';
import { validateNamespace } from '../validation/cluster.ts';
import { declareKind } from './support.ts';

/** Label by which selectors can name a namespace. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

/** The declaration of Namespace. */
export const namespaceKind = declareKind<Namespace>({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  shortNames: ['ns'],
  categories: [],
  namespaced: false,
  schema: 'io.k8s.api.core.v1.Namespace',
  served: [],
  hasStatus: true,
  subresources: [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
  createOnUpdate: false,
  nameRule: 'dns-label',
  countsGeneration: false,
  defaults: (namespace) => {
    if (namespace.metadata.name) {
      namespace.metadata.labels = {
        ...namespace.metadata.labels,
        [NAME_LABEL]: namespace.metadata.name,
      };
    }
    namespace.spec ??= {};
    namespace.status ??= {};
    namespace.status.phase ||= 'Active';
  },
  prepareCreate: (namespace) => {
    namespace.status = { phase: 'Active' };
    const finalizers = namespace.spec?.finalizers ?? [];
    namespace.spec = {
      ...namespace.spec,
      finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'],
    };
  },
  prepareUpdate: (namespace, old) => {
    // Only the finalize subresource takes a namespace's finalizers away.
    namespace.spec = { ...namespace.spec, finalizers: old.spec?.finalizers };
    namespace.status = old.status;
  },
  validate: validateNamespace,
  selectableFields: (namespace) => ({ 'status.phase': namespace.status?.phase ?? '' }),
  columns: [NAME_COLUMN, column('Status', 'The status of the namespace.'), AGE_COLUMN],
  cells: (namespace, nowMs) => [
    namespace.metadata.name,
    namespace.status?.phase ?? '',
    ageCell(namespace, nowMs),
  ],
});
