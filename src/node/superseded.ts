/**
 * Members that a recovery left behind. A survivor that went on alone as a new cluster keeps their names, so that one that
 * comes back can be told why nobody talks to it: it is no member there, and with the others that were left behind it must
 * not go on as the cluster that was given up.
 */

import { SkeinError } from '../lib/errors.ts';
import { internalKey } from '../store/keys.ts';
import type { StoreReader } from '../store/types.ts';

const AREA = 'superseded';
export const SUPERSEDED_PREFIX = `/skein/${AREA}/`;

/** What is kept of a member that was left behind. */
export type SupersededRecord = {
  readonly peer: string;
  readonly node: string;
  /** The cluster it was a member of. */
  readonly clusterId: string;
  /** The cluster that took its place. */
  readonly supersededBy: string;
};

export const supersededKey = (peer: string): string => internalKey(AREA, peer);

/** The record of a peer that was left behind, or undefined. */
export function readSuperseded(store: StoreReader, peer: string): SupersededRecord | undefined {
  return store.get(supersededKey(peer))?.object as SupersededRecord | undefined;
}

/** For how long after its start a member is one that comes back, and not one that the cluster works with. */
const COMING_BACK_MS = 15_000;

/**
 * Whether a member obeys that it was left behind. One that comes back does, before it can form a majority with others that were
 * left behind too. One that has been working under a leader does not: then it was no majority that was lost, but the
 * recovered node itself, and its word must not stop a cluster that works.
 */
export function obeys(facts: { readonly hasLeader: boolean; readonly upMs: number }): boolean {
  return !facts.hasLeader || facts.upMs < COMING_BACK_MS;
}

/** Passes on what recovered survivors say, to whoever follows; what was said before that is not lost. */
export class Supersession {
  #said: string | undefined;
  #listener: ((clusterId: string) => void) | undefined;

  /** A survivor went on as cluster `clusterId`, without this node. */
  hear(clusterId: string): void {
    this.#said = clusterId;
    this.#listener?.(clusterId);
  }

  follow(listener: (clusterId: string) => void): void {
    this.#listener = listener;
    if (this.#said !== undefined) listener(this.#said);
  }
}

/** Why a member that was left behind does not start, with the remedy. */
export function supersededError(by: string, root: string): SkeinError {
  return new SkeinError(
    'not-admitted',
    `this node was left behind when its cluster was recovered elsewhere, as cluster ${by}, and may not return under its old identity; ` +
      `to make it a new node there: skein reset --yes --keep-pods --data-dir ${root} (its containers go on; without --keep-pods they end), ` +
      'then skein join with a token of the recovered cluster',
  );
}
