/** The pod-template-hash: names the ReplicaSet of a template, and marks its pods. Pure. */

import type { PodTemplateSpec } from '../kinds.ts';
import { canonicalJson } from '../statuses.ts';

/** The label that keeps the pods of a Deployment's ReplicaSets apart. */
export const HASH_LABEL = 'pod-template-hash';

/** No vowels and no digits that look like them: names never spell words. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** The hash of `template`; `collisionCount` gives another one when that name was taken by a different template. */
export function templateHash(
  template: PodTemplateSpec,
  collisionCount: number | undefined,
): string {
  const salt = collisionCount === undefined ? '' : `#${collisionCount}`;
  const digits = String(fnv32a(canonicalJson(template) + salt));
  return [...digits].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join('');
}

/** True when two templates are the same but for the hash label. */
export function sameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return canonicalJson(withoutHash(a)) === canonicalJson(withoutHash(b));
}

function withoutHash(template: PodTemplateSpec): unknown {
  const { [HASH_LABEL]: _hash, ...labels } = template.metadata?.labels ?? {};
  const { creationTimestamp: _none, ...metadata } = template.metadata ?? {};
  return { ...template, metadata: { ...metadata, labels } };
}

function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash;
}
