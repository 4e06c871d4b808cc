import t from 'tap';
import { allKinds, createKindRegistry } from '../../src/resources/registry.ts';
import { schemaTable, typeSchema } from '../../src/resources/schema.ts';
import { registry } from './support.ts';

t.test('registry: resources are found by every group version that serves them', async (t) => {
  const found = (group: string, version: string, plural: string) =>
    registry.byGroupVersionResource(group, version, plural);
  t.equal(found('', 'v1', 'pods')?.kind.kind, 'Pod');
  t.equal(found('', 'v1', 'pods')?.served, undefined);
  t.equal(found('extensions', 'v1beta1', 'deployments')?.kind.group, 'apps');
  t.equal(found('extensions', 'v1beta1', 'deployments')?.served?.version, 'v1beta1');
  t.equal(found('', 'v1', 'deployments'), undefined);
  t.equal(registry.byGroupVersionKind('events.k8s.io', 'v1', 'Event')?.kind.group, '');
  t.equal(registry.byStorageResource('apps', 'deployments')?.kind, 'Deployment');
  t.equal(registry.byKind('Lease')?.plural, 'leases');
});

t.test('registry: discovery prefers the storage version of a group', async (t) => {
  const apps = registry.groupVersions().filter(({ group }) => group === 'apps');
  t.same(
    apps.map(({ version }) => version),
    ['v1', 'v1beta2', 'v1beta1'],
  );
  t.equal(registry.groupVersions()[0]?.group, '');
});

t.test('registry: two kinds may not serve the same resource', async (t) => {
  const [first] = allKinds;
  t.ok(first);
  if (first !== undefined) t.throws(() => createKindRegistry([first, first]));
});

t.test('registry: names are all of their form', async (t) => {
  for (const kind of registry.kinds) {
    t.equal(kind.listKind, `${kind.kind}List`);
    t.equal(kind.singular, kind.kind.toLowerCase());
    t.match(kind.plural, /^[a-z]+$/);
  }
});

t.test('schema: every kind and version has one, and every reference leads somewhere', async (t) => {
  for (const kind of registry.kinds) {
    for (const name of [kind.schema, ...kind.served.map(({ schema }) => schema)]) {
      t.ok(typeSchema(name).fields['metadata'], name);
    }
  }
  const table = schemaTable();
  for (const [name, type] of Object.entries(table)) {
    for (const [field, schema] of Object.entries(type.fields)) {
      for (const ref of [schema.ref, schema.items?.ref, schema.values?.ref]) {
        if (ref !== undefined && table[ref] === undefined)
          t.fail(`${name}.${field} leads to ${ref}`);
      }
    }
  }
});
