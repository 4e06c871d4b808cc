/**
 * Numbers that only one Service may have. A taken number is a key of its own, written in the same
 * transaction as the Service: there is no repair loop, since a number cannot be taken without its
 * Service, nor twice.
 */

import { internalKey } from '../../store/keys.ts';
import type { Key } from '../../store/types.ts';
import type { AdmissionRequest } from './types.ts';

/** Which numbers: keys, bounds, and where unasked ones begin. */
export type Pool = {
  readonly name: 'cluster-ip' | 'node-port';
  readonly first: number;
  readonly last: number;
  readonly dynamicFirst: number;
  /** The number as it stands in keys. */
  format(value: number): string;
};

export type Taken = 'taken' | 'out-of-range' | 'ok';

/** The internal key of one number. */
export function allocationKey(pool: Pool, value: number): Key {
  return internalKey('allocations', `${pool.name}-${pool.format(value)}`);
}

/** Takes `value` in the request's transaction. */
export function take(request: AdmissionRequest, pool: Pool, value: number): Taken {
  if (value < pool.first || value > pool.last) return 'out-of-range';
  const key = allocationKey(pool, value);
  if (request.verbs.store.get(key) !== undefined || isPlanned(request, key)) return 'taken';
  const { namespace, name, uid } = request.object.metadata;
  const holder = Buffer.from(JSON.stringify({ namespace, name, uid }), 'utf8');
  request.checks.push({ key, is: 'absent' });
  request.operations.push({ op: 'put', key, value: holder, revisionOffset: -1 });
  return 'ok';
}

/**
 * Takes a free number, drawn from the part for unasked ones while it has any; undefined if all are
 * taken.
 */
export function takeAny(request: AdmissionRequest, pool: Pool): number | undefined {
  const upper = draw(request, pool, pool.dynamicFirst, pool.last);
  return upper ?? draw(request, pool, pool.first, pool.dynamicFirst - 1);
}

/** Gives `value` back, if it is the request's object that holds it. */
export function release(request: AdmissionRequest, pool: Pool, value: number): void {
  const key = allocationKey(pool, value);
  const held = request.verbs.store.get(key);
  if (held === undefined) return;
  const holder = held.object as { readonly uid?: string };
  if (holder.uid !== request.object.metadata.uid) return;
  request.operations.push({ op: 'delete', key });
}

function draw(
  request: AdmissionRequest,
  pool: Pool,
  first: number,
  last: number,
): number | undefined {
  const size = last - first + 1;
  if (size <= 0) return undefined;
  const offset = request.verbs.random.int(0, size - 1);
  for (let step = 0; step < size; step++) {
    const value = first + ((offset + step) % size);
    if (take(request, pool, value) === 'ok') return value;
  }
  return undefined;
}

function isPlanned(request: AdmissionRequest, key: Key): boolean {
  return request.operations.some((operation) => operation.key === key);
}
