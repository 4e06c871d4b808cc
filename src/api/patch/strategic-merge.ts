/**
 * Strategic merge patch: a merge patch that knows which lists are sets and maps. The schema says by
 * field whether a list is merged and by which key; directives in the patch say what a plain merge
 * cannot:
 *
 *   $patch: replace | merge | delete          of an object, or of an item of a merged list
 *   $retainKeys: [a, b]                       every other field of the object goes
 *   $deleteFromPrimitiveList/<field>: [x]     items to remove from a merged list of scalars
 *   $setElementOrder/<field>: [...]           the order of a merged list
 */

import { sameJson } from '../../resources/equality.ts';
import { type FieldSchema, typeSchema } from '../../resources/schema.ts';
import { badRequest } from '../status.ts';
import { cloneJson, isRecord } from '../verbs/json.ts';
import { orderElements } from './element-order.ts';
import { setMember } from './merge-patch.ts';

type Json = Record<string, unknown>;

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM_LIST = '$deleteFromPrimitiveList/';
const ELEMENT_ORDER = '$setElementOrder/';

/** How one value is merged: the type of an object's fields, or what stands in a map or list. */
type Shape = { readonly ref?: string | undefined; readonly values?: FieldSchema | undefined };

/** The target with the patch applied, by the schema named `schema`. Uses up `target`. */
export function applyStrategicMerge(schema: string, target: unknown, patch: unknown): unknown {
  if (!isRecord(patch))
    throw badRequest('error decoding patch: a strategic merge patch is an object');
  return mergeObject({ ref: schema }, isRecord(target) ? target : {}, patch);
}

function mergeObject(shape: Shape, target: Json, patch: Json): Json {
  const directive = patch[DIRECTIVE];
  if (directive === 'replace') return mergeObject(shape, {}, without(patch, DIRECTIVE));
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw unknownDirective(directive);
  retainKeys(target, patch);
  for (const key of Object.keys(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER)) continue;
    if (key.startsWith(DELETE_FROM_LIST)) {
      deleteFromList(target, key.slice(DELETE_FROM_LIST.length), patch[key]);
      continue;
    }
    const value = patch[key];
    if (value === null) delete target[key];
    else mergeField(fieldOf(shape, key), { target, patch, key });
  }
  orderLists(shape, target, patch);
  return target;
}

type Place = { readonly target: Json; readonly patch: Json; readonly key: string };

function mergeField(field: FieldSchema | undefined, { target, patch, key }: Place): void {
  const value = patch[key];
  const present = Object.hasOwn(target, key) ? target[key] : undefined;
  if (isRecord(value)) {
    const replaces = strategies(field).includes('replace') || !isRecord(present);
    setMember(target, key, mergeObject(shapeOf(field), replaces ? {} : present, value));
    return;
  }
  if (!Array.isArray(value)) {
    setMember(target, key, value);
    return;
  }
  const list = Array.isArray(present) ? present : [];
  const merges = field?.type === 'array' && strategies(field).includes('merge');
  setMember(target, key, merges ? mergeList(field, list, value) : cleanList(field, value));
}

function mergeList(field: FieldSchema, target: unknown[], patch: unknown[]): unknown[] {
  const { mergeKey, items } = field;
  if (mergeKey === undefined) return mergeScalars(target, patch);
  if (patch.some((item) => isRecord(item) && item[DIRECTIVE] === 'replace')) {
    const kept = patch.filter((item) => !(isRecord(item) && item[DIRECTIVE] === 'replace'));
    return cleanList(field, kept);
  }
  let result = target;
  for (const item of patch) {
    if (!isRecord(item)) throw badRequest(`expected an object in a list merged by ${mergeKey}`);
    const id = item[mergeKey];
    if (item[DIRECTIVE] === 'delete') {
      if (id === undefined) throw withoutKey(mergeKey);
      result = result.filter((one) => !(isRecord(one) && sameJson(one[mergeKey], id)));
      continue;
    }
    if (id === undefined) throw withoutKey(mergeKey);
    const at = result.findIndex((one) => isRecord(one) && sameJson(one[mergeKey], id));
    const present = at < 0 ? {} : (result[at] as Json);
    const merged = mergeObject(shapeOf(items), present, item);
    if (at < 0) result.push(merged);
    else result[at] = merged;
  }
  return result;
}

function mergeScalars(target: unknown[], patch: readonly unknown[]): unknown[] {
  const result = [...target];
  for (const item of patch) if (!result.some((one) => sameJson(one, item))) result.push(item);
  return result;
}

/** Items of a list that is taken as a whole: no directive may reach the result. */
function cleanList(field: FieldSchema | undefined, items: readonly unknown[]): unknown[] {
  return items
    .filter((item) => !(isRecord(item) && item[DIRECTIVE] === 'delete'))
    .map((item) =>
      isRecord(item) ? mergeObject(shapeOf(field?.items), {}, item) : cloneJson(item),
    );
}

function deleteFromList(target: Json, key: string, items: unknown): void {
  if (!Array.isArray(items)) throw badRequest(`${DELETE_FROM_LIST}${key} must be a list`);
  const present = target[key];
  if (!Array.isArray(present)) return;
  target[key] = present.filter((one) => !items.some((item) => sameJson(item, one)));
}

function retainKeys(target: Json, patch: Json): void {
  const retained = patch[RETAIN_KEYS];
  if (retained === undefined) return;
  if (!Array.isArray(retained)) throw badRequest(`${RETAIN_KEYS} must be a list of field names`);
  for (const key of Object.keys(patch)) {
    const directive = key.startsWith('$');
    if (!directive && patch[key] !== null && !retained.includes(key)) {
      throw badRequest(`${RETAIN_KEYS} does not name the field ${key} that the patch sets`);
    }
  }
  for (const key of Object.keys(target)) if (!retained.includes(key)) delete target[key];
}

function orderLists(shape: Shape, target: Json, patch: Json): void {
  for (const directive of Object.keys(patch)) {
    if (!directive.startsWith(ELEMENT_ORDER)) continue;
    const key = directive.slice(ELEMENT_ORDER.length);
    const order = patch[directive];
    const present = target[key];
    if (!Array.isArray(order)) throw badRequest(`${directive} must be a list`);
    if (Array.isArray(present)) {
      target[key] = orderElements(present, order, fieldOf(shape, key)?.mergeKey);
    }
  }
}

function fieldOf(shape: Shape, key: string): FieldSchema | undefined {
  if (shape.values !== undefined) return shape.values;
  if (shape.ref === undefined) return undefined;
  const { fields } = typeSchema(shape.ref);
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

function shapeOf(field: FieldSchema | undefined): Shape {
  return { ref: field?.ref, values: field?.type === 'map' ? field.values : undefined };
}

function strategies(field: FieldSchema | undefined): readonly string[] {
  return field?.patch?.split(',') ?? [];
}

function without(record: Json, key: string): Json {
  const { [key]: _dropped, ...rest } = record;
  return rest;
}

function unknownDirective(directive: unknown): Error {
  return badRequest(`unrecognized patch directive: ${JSON.stringify(directive)}`);
}

function withoutKey(mergeKey: string): Error {
  return badRequest(
    `an item of a merged list does not contain the declared merge key: ${mergeKey}`,
  );
}
