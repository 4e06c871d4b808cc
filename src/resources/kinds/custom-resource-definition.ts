/**
 * Definitions of custom resources, of which this version has none: the collection exists and is empty, because clients look into
 * it. kubectl does so before it says that a manifest's kind is unknown.
 */
import { column, NAME_COLUMN } from '../columns/common.ts';
import type { CustomResourceDefinition } from '../generated/kinds.ts';
import { declareKind } from './support.ts';

/** The declaration of CustomResourceDefinition. */
export const customResourceDefinitionKind = declareKind<CustomResourceDefinition>({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  schema: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
  served: [],
  writesRefused: 'custom resources are not supported by this version of Skein',
  hasStatus: false,
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: true,
  columns: [NAME_COLUMN, column('Created At', 'When it was made.')],
  cells: ({ metadata }) => [metadata.name, metadata.creationTimestamp ?? ''],
});
