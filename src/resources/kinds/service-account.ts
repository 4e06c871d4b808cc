/** ServiceAccounts: identities of pods. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { ServiceAccount } from '../generated/kinds.ts';
import { declareKind } from './support.ts';

/** The declaration of ServiceAccount. */
export const serviceAccountKind = declareKind<ServiceAccount>({
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  shortNames: ['sa'],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.ServiceAccount',
  served: [],
  hasStatus: false,
  subresources: [
    {
      name: 'token',
      group: 'authentication.k8s.io',
      version: 'v1',
      kind: 'TokenRequest',
      verbs: ['create'],
    },
  ],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  columns: [NAME_COLUMN, column('Secrets', 'Number of secrets listed.', 'string'), AGE_COLUMN],
  cells: (account, nowMs) => [
    account.metadata.name,
    (account.secrets ?? []).length,
    ageCell(account, nowMs),
  ],
});
