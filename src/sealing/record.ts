/**
 * The sealing record: what is sealed in this cluster, and under which key. One object of the replicated state; it holds
 * nothing secret. At every place of the log exactly one record is in force.
 */

import { messageOf } from '../lib/errors.ts';
import type { ClusterKey, WrappedKey } from './cluster-key.ts';

export type SealingRecord = {
  /** The data key in force; null when nothing is sealed. */
  readonly key: WrappedKey | null;
  /** What is sealed: resources, as `secrets` or `widgets.example.com`. */
  readonly kinds: readonly string[];
  /** When the record was made (ISO 8601). For people. */
  readonly madeAt: string;
};

/** Sealed unless somebody says otherwise. */
export const DEFAULT_KINDS: readonly string[] = ['secrets'];
/** Most kinds of one record. */
const KINDS_MAX = 64;
const KIND = /^[a-z][a-z0-9-]{0,62}(\.[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$/;
const VERSION = 1;

/** Throws an Error that says what is expected of a kind's name. */
export function checkKinds(kinds: readonly string[]): readonly string[] {
  const bad = kinds.find((kind) => !KIND.test(kind));
  if (bad !== undefined) {
    throw new Error(`"${bad}" is no resource; expected names like secrets or widgets.example.com`);
  }
  if (kinds.length === 0 || kinds.length > KINDS_MAX) {
    throw new Error(`expected 1 to ${KINDS_MAX} kinds`);
  }
  return [...new Set(kinds)].sort();
}

/** A record with a new data key, which seals `kinds` from now on; without a cluster key one by which nothing is sealed. */
export function newRecord(
  clusterKey: ClusterKey | undefined,
  kinds: readonly string[],
  nowMs: number,
): SealingRecord {
  return { key: clusterKey?.makeDataKey() ?? null, kinds, madeAt: new Date(nowMs).toISOString() };
}

export function encodeRecord(record: SealingRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, ...record }));
}

/** A text says what is wrong. */
export function decodeRecord(bytes: Uint8Array): SealingRecord | string {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    return `a sealing record is JSON: ${messageOf(error)}`;
  }
  const { version, key, kinds, madeAt } = (value ?? {}) as Record<string, unknown>;
  if (version !== VERSION) return `sealing record version ${String(version)} is not supported`;
  if (!Array.isArray(kinds) || !kinds.every((kind) => typeof kind === 'string')) {
    return 'a sealing record names kinds';
  }
  if (typeof madeAt !== 'string') return 'a sealing record has a date';
  if (key !== null && !isWrappedKey(key)) return 'a sealing record has a wrapped key, or null';
  return { key, kinds, madeAt };
}

function isWrappedKey(value: unknown): value is WrappedKey {
  const { id, wrapped, clusterKey } = (value ?? {}) as Record<string, unknown>;
  return [id, wrapped, clusterKey].every((field) => typeof field === 'string' && field !== '');
}
