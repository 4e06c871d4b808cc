/**
 * Which formats a member may write: the cluster's feature level. Everything that is kept or sent has a level at which it
 * is first written (LEVELS); every member understands a range of levels; the cluster is at one level, a part of
 * the replicated state, which the leader raises by a log entry once every member understands the next one.
 * Nothing of a level is written before the cluster is there. So members of two releases work together, and one that was
 * upgraded may go back, until the level is raised: a level is never lowered.
 */

import { SkeinError } from '../lib/errors.ts';

/** The levels a member understands, both ends included. */
export type LevelRange = { readonly min: number; readonly max: number };

/** Every level there is, with the release that brought it and what is first written at it. */
export const LEVELS: Readonly<
  Record<number, { readonly release: string; readonly brings: string }>
> = {
  1: { release: '0.1', brings: 'log, snapshots, messages and commands of the first release' },
  2: {
    release: '0.2',
    brings:
      'entries of the group itself (the level), snapshots that say their level, sealed values, ids of removed members',
  },
};

/** The level at which values may be sealed in the log and in snapshots. */
export const SEALED_LEVEL = 2;

/** The level at which a group remembers whom it removed. */
export const REMEMBERING_LEVEL = 2;

/** What this release understands. */
export const OUR_LEVELS: LevelRange = { min: 1, max: 2 };

/** What a member understands that cannot be asked: the first release knew nothing of levels. */
export const FIRST_LEVELS: LevelRange = { min: 1, max: 1 };

/** The error of a member with `range` in a cluster at `level`; undefined if it understands it. */
export function levelFault(
  level: number,
  range: LevelRange,
  product: string,
): SkeinError | undefined {
  const { min, max } = range;
  if (level >= min && level <= max) return undefined;
  const known = `this version of Skein (${product}) understands levels ${min} to ${max}`;
  const release = LEVELS[level]?.release;
  const cluster = `the cluster is at feature level ${level}${release ? ` (release ${release})` : ''}`;
  const remedy =
    level > max
      ? `start this node with a version that understands level ${level}; a level is never lowered, so an older version cannot come back to this cluster`
      : `upgrade through a version that understands both levels ${level} and ${min}, on all nodes, until skein status -o json shows level ${min}; then this one`;
  return unsupported(`${cluster}, and ${known}: ${remedy}`);
}

/** The error for something stored or received whose format this version does not know. */
export function unsupported(text: string): SkeinError {
  return new SkeinError('version-unsupported', text);
}

/** The error for a file that a later version has written: `what` is there, and we know `known`. */
export function laterVersion(what: string, known: string): SkeinError {
  return unsupported(
    `${what}, written by a later version of Skein; this one knows ${known}: start this node with the version that wrote it`,
  );
}

/** The highest level that all of `ranges` understand, or undefined when one of them is not known. */
export function commonLevel(ranges: readonly (LevelRange | undefined)[]): number | undefined {
  let level = Number.POSITIVE_INFINITY;
  for (const range of ranges) {
    if (range === undefined) return undefined;
    level = Math.min(level, range.max);
  }
  return Number.isFinite(level) ? level : undefined;
}

/** A range as it comes from the network, or undefined if it is none. */
export function parseLevels(value: unknown): LevelRange | undefined {
  const { min, max } = (value ?? {}) as Partial<Record<keyof LevelRange, unknown>>;
  if (!isLevel(min) || !isLevel(max) || min > max) return undefined;
  return { min, max };
}

const isLevel = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 1;
