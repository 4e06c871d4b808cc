/**
 * Judges a member's storage without touching it: what the next start would find, and everything that is wrong, by
 * file and offset. It uses the judges of the start itself (scanSegment, refuseGap, LogReplay, complete), so that both
 * always agree; but where a start stops at the first damage, this goes on looking.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { changeConfig } from '../../raft/config-change.ts';
import { decodeConfChange } from '../../raft/raw-node.ts';
import type { ConfState, Entry, LogIndex, Term } from '../../raft/types.ts';
import { hasCode, messageOf } from '../lib/errors.ts';
import { complete } from './file-storage.ts';
import { LogReplay } from './log-replay.ts';
import { segmentNumber } from './segment-file.ts';
import {
  inspectSnapshot,
  readSnapshotFile,
  refuseForeign,
  type SnapshotFile,
  snapshotNames,
} from './snapshot-files.ts';
import type { StoredState } from './storage.ts';
import { decodeSegmentHeader, type WalRecord } from './wal-format.ts';
import { LogDamage, type LogIdentity, refuseGap, scanSegment } from './wal-segment.ts';

/** Something in a file that is not as it was written. */
export type Finding = {
  /** Torn: a crash cut a write short that nobody was told of; the next start puts it in order. */
  readonly kind: 'torn' | 'damaged';
  readonly file: string;
  /** Byte offset, where one can be told. */
  readonly offset?: number;
  readonly what: string;
};

export type SegmentReport = {
  readonly file: string;
  readonly bytes: number;
  /** Offset behind the last intact record. */
  readonly end: number;
  /** None are counted in one that is damaged. */
  readonly records: number;
  /** Of the entries in it; undefined when it holds none. */
  readonly firstIndex: LogIndex | undefined;
  readonly lastIndex: LogIndex | undefined;
};

export type StorageReport = {
  readonly directory: string;
  readonly segments: readonly SegmentReport[];
  /** The newest one, which a start uses. */
  readonly snapshot: SnapshotFile | undefined;
  readonly findings: readonly Finding[];
  /** Snapshots that a write in progress left, and former ones: nobody needs them. */
  readonly leftovers: readonly string[];
  /** What a start would begin with; undefined if it would refuse. */
  readonly state: StoredState | undefined;
};

/**
 * Inspects the storage in `directory`, which must be that of `expected`. Without an `expected` the first segment says
 * whose it is. Never writes; rejects only when the directory cannot be read.
 */
export async function inspectStorage(
  directory: string,
  expected?: LogIdentity,
): Promise<StorageReport> {
  const findings: Finding[] = [];
  const leftovers: string[] = [];
  const wal = join(directory, 'wal');
  const identity = expected ?? (await identityOfLog(wal));
  const context = { identity, findings, leftovers };
  const snapshot = await inspectNewestSnapshot(join(directory, 'snapshots'), context);
  const { segments, records } = await inspectLog(wal, context);
  const damaged = findings.some(({ kind }) => kind === 'damaged');
  let state: StoredState | undefined;
  if (!damaged) {
    try {
      const replay = new LogReplay();
      for (const record of records) replay.add(record);
      state = complete(replay.finish(snapshot?.meta), directory);
    } catch (error) {
      findings.push({ kind: 'damaged', file: wal, what: firstSentence(error) });
    }
  }
  return { directory, segments, snapshot, findings, leftovers, state };
}

/** Who votes and who follows by everything in the log, also what is not known to be committed. */
export function newestConfState(state: StoredState): ConfState | undefined {
  let confState = state.snapshot?.confState;
  for (const entry of state.entries) {
    if (entry.kind !== 'config' || confState === undefined) continue;
    const outcome = changeConfig(confState, decodeConfChange(entry.data));
    if (outcome.kind === 'changed') confState = outcome.confState;
  }
  return confState;
}

/** The last position of a log: of two logs, the one with the higher term is newer, at equal terms the longer. */
export function lastPosition(state: StoredState): {
  readonly term: Term;
  readonly index: LogIndex;
} {
  const last: Pick<Entry, 'term' | 'index'> | undefined = state.entries.at(-1) ?? state.snapshot;
  return { term: last?.term ?? (0 as Term), index: last?.index ?? (0 as LogIndex) };
}

/** Whose log the first segment says it is, or undefined when there is none. */
export async function identityOfLog(wal: string): Promise<LogIdentity | undefined> {
  for (const name of (await listing(wal)).sort()) {
    if (segmentNumber(name) === undefined) continue;
    const header = decodeSegmentHeader(await readFile(join(wal, name)));
    if (typeof header !== 'string') return header;
  }
  return undefined;
}

type Context = {
  readonly identity: LogIdentity | undefined;
  readonly findings: Finding[];
  readonly leftovers: string[];
};

async function inspectNewestSnapshot(
  directory: string,
  { identity, findings, leftovers }: Context,
): Promise<SnapshotFile | undefined> {
  const names = await listing(directory);
  const newest = snapshotNames(names).at(-1);
  leftovers.push(...names.filter((name) => name !== newest).map((name) => join(directory, name)));
  if (newest === undefined) return undefined;
  const path = join(directory, newest);
  try {
    const file = await inspectSnapshot(path);
    if (identity) refuseForeign(file, identity);
    for await (const _ of readSnapshotFile(file)); // Throws when the payload fails its checksum.
    return file;
  } catch (error) {
    findings.push(findingOf(path, error));
    return undefined;
  }
}

async function inspectLog(
  wal: string,
  { identity, findings }: Context,
): Promise<{ segments: SegmentReport[]; records: WalRecord[] }> {
  const names = await listing(wal);
  const numbered = names.filter((name) => segmentNumber(name) !== undefined).sort();
  const segments: SegmentReport[] = [];
  const records: WalRecord[] = [];
  let former: Parameters<typeof refuseGap>[2];
  for (const name of numbered) {
    const path = join(wal, name);
    const bytes = await readFile(path);
    try {
      const scanned = scanSegment(path, bytes, identity ?? { nodeId: '', clusterId: '' });
      refuseGap(path, scanned, former);
      const entries = scanned.records.flatMap((record) =>
        record.type === 'entry' ? [record.entry.index] : [],
      );
      segments.push({
        file: path,
        bytes: bytes.length,
        end: scanned.end,
        records: scanned.records.length,
        firstIndex: entries[0],
        lastIndex: entries.at(-1),
      });
      if (scanned.torn && name === numbered.at(-1)) {
        const what =
          'the remains of a write that a crash cut short; the next start overwrites them';
        findings.push({ kind: 'torn', file: path, offset: scanned.end, what });
      }
      for (const record of scanned.records) records.push(record);
      former = { path, scanned };
    } catch (error) {
      const finding = findingOf(path, error);
      findings.push(finding);
      segments.push({
        file: path,
        bytes: bytes.length,
        end: finding.offset ?? 0,
        records: 0,
        firstIndex: undefined,
        lastIndex: undefined,
      });
      // What comes behind is judged by itself: no gap is reported twice.
      former = undefined;
    }
  }
  return { segments, records };
}

function findingOf(path: string, error: unknown): Finding {
  if (error instanceof LogDamage) {
    return { kind: 'damaged', file: error.file, offset: error.offset, what: error.why };
  }
  if (!hasCode(error, 'data-damaged')) throw error;
  return { kind: 'damaged', file: path, what: firstSentence(error) };
}

/** The remedies of a start are part of its messages; here they are given once, at the end. */
function firstSentence(error: unknown): string {
  return messageOf(error).split('. ')[0] ?? '';
}

async function listing(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
