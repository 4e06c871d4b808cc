/** Whatever passes the structural check must be defaulted, validated and shown without throwing. */
import fc from 'fast-check';
import t from 'tap';
import { checkStructure } from '../../src/resources/decode.ts';
import { fieldErrorText } from '../../src/resources/field-errors.ts';
import { fieldsOf } from '../../src/resources/fields.ts';
import { type FieldSchema, typeSchema } from '../../src/resources/schema.ts';
import type { KubeObject, ResourceKind, ServedVersion } from '../../src/resources/types.ts';
import { registry } from './support.ts';

const DEPTH_MAX = 9;

/** A random value of a field; `random` draws integers below its argument. */
function drawValue(schema: FieldSchema, random: (below: number) => number, depth: number): unknown {
  switch (schema.type) {
    case 'boolean':
      return random(2) === 0;
    case 'integer':
      return [0, 1, -1, 80, 30000, 70000][random(6)];
    case 'number':
      return random(10) / 3;
    case 'quantity':
      return ['0', '1', '100m', '64Mi', '-1'][random(5)];
    case 'int-or-string':
      return [0, 80, 'http', '25%', '', '101%'][random(6)];
    case 'bytes':
      return ['', 'cm9vdA=='][random(2)];
    case 'time':
    case 'micro-time':
      return '2026-01-01T00:00:00Z';
    case 'array': {
      const items = schema.items ?? { type: 'string' };
      return Array.from({ length: random(3) }, () => drawValue(items, random, depth + 1));
    }
    case 'map': {
      const values = schema.values ?? { type: 'string' };
      const keys = ['a', 'cpu', 'b/c'].slice(0, random(4));
      return Object.fromEntries(keys.map((key) => [key, drawValue(values, random, depth + 1)]));
    }
    case 'object':
      return schema.ref === undefined ? {} : drawObject(schema.ref, random, depth + 1);
    case 'any':
      return { anything: true };
    default:
      return ['', 'a', 'Always', 'In', 'Exists', 'TCP', 'Not Valid!', '10.0.0.1'][random(8)];
  }
}

function drawObject(name: string, random: (below: number) => number, depth: number): object {
  const object: Record<string, unknown> = {};
  for (const [field, schema] of Object.entries(typeSchema(name).fields)) {
    const rare = depth > 2 ? 4 : 2;
    if (depth > DEPTH_MAX || random(rare) !== 0) continue;
    object[field] = drawValue(schema, random, depth);
  }
  return object;
}

function generatorOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Everything the machinery does with an object of a kind. */
function exercise(kind: ResourceKind, served: ServedVersion | undefined, seed: number): void {
  const name = served?.schema ?? kind.schema;
  const raw = drawObject(name, generatorOf(seed), 0) as KubeObject;
  // Half of the objects come as a client in the same process may hand them over: required fields missing.
  const problems = checkStructure(raw, name, { onUnknown: seed % 2 === 0 ? 'drop' : 'keep' });
  if (problems.length > 0) throw new Error(problems[0]?.message);
  raw.metadata ??= { name: 'x' };
  raw.metadata.name ??= '';
  served?.defaults?.(raw);
  const object = served?.toStorage(raw) ?? raw;
  kind.defaults?.(object);
  kind.prepareCreate?.(object, { nowIso: '2026-01-01T00:00:00Z' });
  kind.validate(object).map(fieldErrorText);
  const next = structuredClone(object);
  kind.prepareUpdate?.(next, object, { nowIso: '2026-01-01T00:00:00Z' });
  kind.validateUpdate?.(next, object);
  kind.prepareStatusUpdate?.(next, object, { nowIso: '2026-01-01T00:00:00Z' });
  kind.validateStatusUpdate?.(next, object);
  kind.gracePeriodSeconds?.(object, undefined);
  kind.warnings?.(object);
  kind.cells(object, 0);
  fieldsOf(kind, object);
  served?.fromStorage(object);
  const again = structuredClone(object);
  kind.defaults?.(again);
  if (JSON.stringify(again) !== JSON.stringify(object)) {
    throw new Error(`defaults are not stable for ${JSON.stringify(object)}`);
  }
}

for (const kind of registry.kinds) {
  for (const served of [undefined, ...kind.served]) {
    const version = served === undefined ? kind.version : `${served.group}/${served.version}`;
    t.test(`robustness: no ${version} ${kind.kind} makes the machinery throw`, async () => {
      fc.assert(
        fc.property(fc.nat(), (seed) => exercise(kind, served, seed)),
        { numRuns: 6000, seed: 99 },
      );
    });
  }
}
