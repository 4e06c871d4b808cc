/** JSON merge patch (RFC 7386). */

import { cloneJson, isRecord } from '../verbs/json.ts';

/** The target with the patch applied. Uses up `target`; the patch is only read. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return cloneJson(patch);
  const result: Record<string, unknown> = isRecord(target) ? target : {};
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) {
      delete result[key];
      continue;
    }
    const merged = applyMergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
    setMember(result, key, merged);
  }
  return result;
}

/** Assigns a member under any name, `__proto__` included. */
export function setMember(record: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') {
    record[key] = value;
    return;
  }
  const descriptor = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(record, key, descriptor);
}
