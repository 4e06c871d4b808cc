/**
 * Entries that are the group's own, among the state machine's: one byte that no msgpack value begins with, then msgpack
 * of `[format, kind, ...]`. What cannot be read is never skipped: members that do and members that do not would part.
 */

import { Packr } from 'msgpackr';
import { unsupported } from './versions.ts';

/** The cluster is at this level from here on. */
export type GroupCommand = { readonly kind: 'level'; readonly level: number };

/** No command of a state machine begins with it. */
const MARK = 0xc1;
const FORMAT = 1;
const packr = new Packr({ useRecords: false });

/** True for an entry that is the group's own. */
export function isGroupCommand(data: Uint8Array): boolean {
  return data[0] === MARK;
}

/** The entry's bytes. */
export function encodeGroupCommand({ kind, level }: GroupCommand): Buffer {
  return Buffer.concat([Buffer.of(MARK), packr.pack([FORMAT, kind, level])]);
}

/** Throws version-unsupported for what a later version wrote. */
export function decodeGroupCommand(data: Uint8Array): GroupCommand {
  const [format, kind, level] = fieldsOf(data);
  if (format === FORMAT && kind === 'level' && Number.isSafeInteger(level)) {
    return { kind, level: level as number };
  }
  throw unsupported(
    `the log holds an entry of the group of format ${String(format)} and kind ${String(kind)}, and this version of Skein ` +
      `knows format ${FORMAT} with kind level: start this node with the version that runs on the others`,
  );
}

function fieldsOf(data: Uint8Array): readonly unknown[] {
  try {
    const fields: unknown = packr.unpack(data.subarray(1));
    return Array.isArray(fields) ? fields : [];
  } catch {
    return [];
  }
}
