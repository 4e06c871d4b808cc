/** Plain JSON values, without the detours that general tools make. */

import { badRequest } from '../status.ts';

/** Levels of lists and objects inside each other. Real objects have a few dozen; what walks them recurses. */
export const NESTING_MAX = 1000;

/** A deep copy of a parsed JSON value. */
export function cloneJson<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  const result: Record<string, unknown> = {};
  for (const key in value) {
    const inner = (value as Record<string, unknown>)[key];
    if (key === '__proto__') define(result, key, copy(inner));
    else result[key] = copy(inner);
  }
  return result;
}

/** A user may well name a label `__proto__`; an assignment would set the prototype instead. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

/** True for what JSON calls an object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws 400 for a value whose lists and objects are nested too deeply to be worked on. */
export function requireShallow(value: unknown): void {
  // As sets: YAML's aliases let one list stand in many places, also within itself.
  let level = new Set([value]);
  for (let depth = 0; level.size > 0; depth++) {
    if (depth > NESTING_MAX) throw badRequest(`exceeded max depth: ${NESTING_MAX}`);
    const inner = new Set<unknown>();
    for (const container of level) {
      if (typeof container !== 'object' || container === null) continue;
      for (const member of Object.values(container)) {
        if (typeof member === 'object' && member !== null) inner.add(member);
      }
    }
    level = inner;
  }
}
