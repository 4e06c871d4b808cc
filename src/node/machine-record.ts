/**
 * What a machine remembers of its node outside the node's data directory: who it was, and how often it has started.
 * The directory alone cannot tell that it is empty because it was wiped (or its disk is not mounted), that it is another
 * machine's, or that it is an older copy of itself; beside this record it can. The record lies next to the
 * directory, so that it does not share its disk: `/var/lib/skein-machine` for `/var/lib/skein`.
 */

import { mkdir, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writePrivateFile } from './data-dir.ts';

export type MachineRecord = {
  readonly clusterId: string;
  readonly node: string;
  readonly peer: string;
  /** The number of the node's last start. */
  readonly start: number;
};

/** The record at `path`; undefined if there is none, or none that can be read: it is a witness, nothing depends on it. */
export async function readMachineRecord(path: string): Promise<MachineRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(path, 'utf8')) as Partial<
      Record<keyof MachineRecord, unknown>
    > | null;
    const { clusterId, node, peer, start } = record ?? {};
    const texts = [clusterId, node, peer].every((text) => typeof text === 'string');
    return texts && Number.isSafeInteger(start) ? (record as MachineRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces the record durably. */
export async function writeMachineRecord(path: string, record: MachineRecord): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writePrivateFile(path, `${JSON.stringify(record, null, 2)}\n`);
}

/** Forgets the node. */
export async function clearMachineRecord(path: string): Promise<void> {
  await rm(path, { force: true });
  // Others may keep something there, or it is a mount.
  await rmdir(dirname(path)).catch(() => {});
}
