/** ConfigMaps. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { ConfigMap } from '../generated/kinds.ts';
import { validateConfigMap, validateConfigMapUpdate } from '../validation/configuration.ts';
import { declareKind } from './support.ts';

/** The declaration of ConfigMap. */
export const configMapKind = declareKind<ConfigMap>({
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  shortNames: ['cm'],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.ConfigMap',
  served: [],
  hasStatus: false,
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  validate: validateConfigMap,
  validateUpdate: validateConfigMapUpdate,
  columns: [NAME_COLUMN, column('Data', 'Number of keys.', 'string'), AGE_COLUMN],
  cells: (configMap, nowMs) => [
    configMap.metadata.name,
    Object.keys(configMap.data ?? {}).length + Object.keys(configMap.binaryData ?? {}).length,
    ageCell(configMap, nowMs),
  ],
});
