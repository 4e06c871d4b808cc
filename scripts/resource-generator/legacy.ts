/**
 * Group versions that upstream removed and manifests of their time still name. The current client package has no models of
 * them, so they are described as differences from the version that replaced them.
 */
import type { FieldSchema, SchemaTable, TypeSchema } from '../../src/resources/schema.ts';
import type { Descriptions } from './schema.ts';

const APPS = 'io.k8s.api.apps.v1.';

type LegacyVersion = {
  readonly group: string;
  readonly version: string;
  readonly prefix: string;
  readonly types: readonly string[];
  /** Fields that were optional then. */
  readonly optional: readonly string[];
  /** DeploymentSpec had `rollbackTo`. */
  readonly rollbackTo: boolean;
};

const DEPLOYMENT = [
  'Deployment',
  'DeploymentSpec',
  'DeploymentStatus',
  'DeploymentStrategy',
  'RollingUpdateDeployment',
  'DeploymentCondition',
];
const REPLICA_SET = ['ReplicaSet', 'ReplicaSetSpec', 'ReplicaSetStatus', 'ReplicaSetCondition'];

const LEGACY: readonly LegacyVersion[] = [
  {
    group: 'extensions',
    version: 'v1beta1',
    prefix: 'io.k8s.api.extensions.v1beta1.',
    types: [...DEPLOYMENT, ...REPLICA_SET],
    optional: ['DeploymentSpec.selector', 'ReplicaSetSpec.selector'],
    rollbackTo: true,
  },
  {
    group: 'apps',
    version: 'v1beta1',
    prefix: 'io.k8s.api.apps.v1beta1.',
    types: DEPLOYMENT,
    optional: ['DeploymentSpec.selector'],
    rollbackTo: true,
  },
  {
    group: 'apps',
    version: 'v1beta2',
    prefix: 'io.k8s.api.apps.v1beta2.',
    types: [...DEPLOYMENT, ...REPLICA_SET],
    optional: [],
    rollbackTo: false,
  },
];

/** Adds the older versions' types to the schema and their descriptions. */
export function addLegacyTypes(schema: SchemaTable, descriptions: Descriptions): void {
  for (const legacy of LEGACY) {
    for (const name of legacy.types) {
      const current = schema[APPS + name];
      if (current === undefined) throw new Error(`no current type ${name} to derive from`);
      schema[legacy.prefix + name] = derive(name, current, legacy);
      descriptions[legacy.prefix + name] = { ...descriptions[APPS + name] };
    }
    if (legacy.rollbackTo) addRollback(schema, legacy.prefix);
  }
}

function derive(name: string, current: TypeSchema, legacy: LegacyVersion): TypeSchema {
  const fields: Record<string, FieldSchema> = {};
  for (const [field, shape] of Object.entries(current.fields)) {
    const copy = redirect(structuredClone(shape), legacy);
    if (legacy.optional.includes(`${name}.${field}`)) delete copy.required;
    fields[field] = copy;
  }
  const type: TypeSchema = { fields };
  if (current.gvk !== undefined) {
    type.gvk = [{ group: legacy.group, version: legacy.version, kind: name }];
  }
  return type;
}

/** Makes references within the group point to the older version. */
function redirect(shape: FieldSchema, legacy: LegacyVersion): FieldSchema {
  if (shape.ref?.startsWith(APPS) === true) {
    shape.ref = legacy.prefix + shape.ref.slice(APPS.length);
  }
  if (shape.items !== undefined) shape.items = redirect(shape.items, legacy);
  if (shape.values !== undefined) shape.values = redirect(shape.values, legacy);
  return shape;
}

function addRollback(schema: SchemaTable, prefix: string): void {
  const spec = schema[`${prefix}DeploymentSpec`];
  if (spec === undefined) throw new Error(`${prefix}DeploymentSpec is missing`);
  spec.fields['rollbackTo'] = { type: 'object', ref: `${prefix}RollbackConfig` };
  schema[`${prefix}RollbackConfig`] = {
    fields: { revision: { type: 'integer', format: 'int64' } },
  };
}
