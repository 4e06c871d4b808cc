/** Leases: who holds what, and until when. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { Lease } from '../generated/kinds.ts';
import { validateLease } from '../validation/cluster.ts';
import { declareKind } from './support.ts';

/** The declaration of Lease. */
export const leaseKind = declareKind<Lease>({
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  shortNames: [],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.coordination.v1.Lease',
  served: [],
  hasStatus: false,
  subresources: [],
  createOnUpdate: true,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  defaults: (lease) => {
    lease.spec ??= {};
  },
  validate: validateLease,
  columns: [NAME_COLUMN, column('Holder', 'Who holds the lease.'), AGE_COLUMN],
  cells: (lease, nowMs) => [
    lease.metadata.name,
    lease.spec?.holderIdentity ?? '',
    ageCell(lease, nowMs),
  ],
});
