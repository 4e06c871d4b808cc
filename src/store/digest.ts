/**
 * A short text that two replicas share exactly if they hold the same state: objects, fences, sessions and all. For
 * tests and tools that ask whether replicas agree; a checksum per part says where they do not.
 */

import { crc32c } from '../lib/crc32c.ts';
import type { StateImage } from './snapshot.ts';
import type { SortedReader } from './sorted-map.ts';
import type { StoredObject } from './types.ts';

/**
 * `<revision>-<applied index>-<number of objects>-<objects>-<fences>-<changes>-<sessions>`, the last four as checksums. What is
 * asked again and has not changed costs little: an object's bytes are looked through once.
 */
export function digestOf(image: StateImage<SortedReader<StoredObject>>): string {
  const { revision, appliedIndex, objects, fences, changedAt, sessions, sealing } = image;
  const parts = [objectsChecksum(objects), sum([...fences].sort(byName))];
  parts.push(sum([...changedAt].sort(byName)), sum([sessions, sealing?.since ?? null]));
  const shown = parts.map((part) => part.toString(16).padStart(8, '0'));
  return [revision, appliedIndex, objects.size, ...shown].join('-');
}

function objectsChecksum(objects: SortedReader<StoredObject>): number {
  let checksum = 0;
  for (const { key, revision, createRevision, revisionOffset, checksum: text } of objects.values(
    '',
  )) {
    const line = `${key} ${revision} ${createRevision} ${revisionOffset} ${text}\n`;
    checksum = crc32c(Buffer.from(line, 'utf8'), checksum);
  }
  return checksum;
}

function sum(value: unknown): number {
  return crc32c(Buffer.from(JSON.stringify(value), 'utf8'));
}

function byName(left: readonly [string, number], right: readonly [string, number]): number {
  return left[0] < right[0] ? -1 : 1;
}
