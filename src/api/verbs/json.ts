/** Plain JSON values: copies and comparison, without the detours that general tools make. */

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

/** True if both serialize to the same JSON up to the order of keys; `undefined` members do not count. */
export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object') return false;
  if (left === null || right === null) return false;
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => equalJson(item, right[index]));
  }
  if (Array.isArray(right)) return false;
  return equalRecords(left as Record<string, unknown>, right as Record<string, unknown>);
}

function equalRecords(left: Record<string, unknown>, right: Record<string, unknown>): boolean {
  let common = 0;
  for (const key in left) {
    const value = left[key];
    if (value === undefined) continue;
    if (!Object.hasOwn(right, key) || !equalJson(value, right[key])) return false;
    common++;
  }
  for (const key in right) if (right[key] !== undefined) common--;
  return common === 0;
}

/** True for what JSON calls an object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
