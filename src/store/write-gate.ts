/**
 * Whether there is room for a write. A gate is asked before a transaction is proposed, on the node that proposes it, about
 * that node's replica: nothing of it is part of apply, so members with different settings still agree byte for byte. Writes
 * under way together may pass the limit by as much as they hold.
 *
 * What keeps a full cluster manageable has to go through still: deletions, updates that do not grow, the small steps of a
 * deletion (a timestamp, a finalizer less), node status and leases, and the product's own records.
 */

import type { SkeinError } from '../lib/errors.ts';
import { INTERNAL_PREFIX } from './keys.ts';
import type { Key, StoredObject, Transaction } from './types.ts';

/** What a transaction would add. */
export type Growth = {
  /** Bytes by which the state would grow; negative if it shrinks. */
  readonly bytes: number;
  /** The cluster needs it in order to be managed: it may use the reserve. */
  readonly essential: boolean;
};

export interface WriteGate {
  /** Why there is no room, or undefined. */
  refuse(growth: Growth): SkeinError | undefined;
}

/** Most bytes by which an essential write may grow the state. */
const ESSENTIAL_BYTES_MAX = 64 * 1024;
/** An update that grows by no more than this is a step in an object's life, such as its deletion. */
const SMALL_UPDATE_BYTES = 4 * 1024;
const ESSENTIAL_PREFIXES = [INTERNAL_PREFIX, '/core/nodes/', '/coordination.k8s.io/leases/'];

/** What `transaction` would add to the state that `get` reads. */
export function growthOf(
  transaction: Transaction,
  get: (key: Key) => StoredObject | undefined,
): Growth {
  let bytes = 0;
  let creates = false;
  let essential = true;
  for (const operation of transaction.operations) {
    const { key } = operation;
    const present = get(key);
    if (present !== undefined) bytes -= key.length + present.bytes.length;
    if (operation.op === 'delete') continue;
    bytes += key.length + operation.value.length;
    creates ||= present === undefined;
    essential &&= ESSENTIAL_PREFIXES.some((prefix) => key.startsWith(prefix));
  }
  const small = !creates && bytes <= SMALL_UPDATE_BYTES;
  return { bytes, essential: small || (essential && bytes <= ESSENTIAL_BYTES_MAX) };
}
