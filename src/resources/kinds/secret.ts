/** Secrets. Text given in `stringData` is stored as data and never read back as text. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { Secret } from '../generated/kinds.ts';
import { validateSecret, validateSecretUpdate } from '../validation/configuration.ts';
import { declareKind } from './support.ts';

/** The declaration of Secret. */
export const secretKind = declareKind<Secret>({
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  shortNames: [],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.Secret',
  served: [],
  hasStatus: false,
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  defaults: (secret) => {
    secret.type ||= 'Opaque';
    if (secret.stringData === undefined) return;
    const data = { ...secret.data };
    for (const [key, text] of Object.entries(secret.stringData)) {
      data[key] = Buffer.from(text, 'utf8').toString('base64');
    }
    secret.data = data;
    delete secret.stringData;
  },
  validate: validateSecret,
  validateUpdate: validateSecretUpdate,
  selectableFields: (secret) => ({ type: secret.type ?? '' }),
  columns: [
    NAME_COLUMN,
    column('Type', 'What the secret holds.'),
    column('Data', 'Number of keys.', 'string'),
    AGE_COLUMN,
  ],
  cells: (secret, nowMs) => [
    secret.metadata.name,
    secret.type ?? '',
    Object.keys(secret.data ?? {}).length,
    ageCell(secret, nowMs),
  ],
});
