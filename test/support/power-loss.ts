/**
 * What a power cut or a bad disk may do to a member's files, done to copies byte by byte: after each, the member either opens with
 * a state that it was in, or refuses with the file and a remedy. It never opens with anything else.
 */

import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import type { StoredState } from '../../src/consensus/storage.ts';
import {
  decodeSegmentHeader,
  findRecord,
  SEGMENT_HEADER_BYTES,
  TYPE_CODES,
} from '../../src/consensus/wal-format.ts';
import { crc32c } from '../../src/lib/crc32c.ts';
import { hasCode, messageOf } from '../../src/lib/errors.ts';

export type Owner = { readonly nodeId: string; readonly clusterId: string };

export type SweepTally = {
  /** Damages tried. */
  tried: number;
  /** Opened with a state that the member was in. */
  opened: number;
  /** Refused with a remedy. */
  refused: number;
  /** Neither, in words. Must stay empty. */
  readonly wrong: string[];
};

type Judged = { readonly kind: 'opened'; readonly state: string } | { readonly kind: 'refused' };

/** Small: a segment made in advance at each open would only take time. */
const SPARE_BYTES = 8192;
/** Zeros kept behind the last record of a copy. */
const TAIL_BYTES = 512;
/** Where a file is written a thousand times without waiting for a disk. */
const MEMORY = '/dev/shm';

/** A copy of a member's files in memory, its last segment without most of the zeros at its end. */
export class DamagedCopy {
  readonly directory: string;
  readonly owner: Owner;
  /** The last segment. */
  readonly log: string;
  /** Its bytes as they should be. */
  readonly whole: Buffer;
  /** Where its records begin, and where the last one ends. */
  readonly offsets: readonly number[];
  readonly end: number;
  /** Where the last group commit began. */
  readonly lastGroup: number;
  /** Where the last one began that wrote an entry; later ones tell of commits only. */
  readonly lastEntries: number;

  private constructor(directory: string, log: string, whole: Buffer) {
    const header = decodeSegmentHeader(whole);
    if (typeof header === 'string') throw new Error(`${log}: ${header}`);
    this.directory = directory;
    this.owner = header;
    this.log = log;
    const offsets: number[] = [];
    let at = SEGMENT_HEADER_BYTES;
    let lastGroup = at;
    let lastEntries = at;
    for (;;) {
      const record = findRecord(whole, at, header.salt);
      if (record === undefined) break;
      offsets.push(at);
      lastGroup = record.batchStart;
      if (record.type === TYPE_CODES.entry) lastEntries = record.batchStart;
      at = record.end;
    }
    this.offsets = offsets;
    this.end = at;
    this.lastGroup = lastGroup;
    this.lastEntries = lastEntries;
    this.whole = whole.subarray(0, at + TAIL_BYTES);
  }

  /** Copies `source`, the directory of a member that does not run. Dispose of it in the end. */
  static async of(source: string): Promise<DamagedCopy> {
    const there = await stat(MEMORY).catch(() => undefined);
    const directory = await mkdtemp(join(there ? MEMORY : tmpdir(), 'skein-damage-'));
    await cp(source, directory, { recursive: true });
    await rm(join(directory, 'lock'), { force: true });
    const segments = (await readdir(join(directory, 'wal'))).filter((name) =>
      name.endsWith('.wal'),
    );
    const log = join(directory, 'wal', segments.sort().at(-1) ?? '');
    const copy = new DamagedCopy(directory, log, await readFile(log));
    await truncate(log, copy.whole.length);
    return copy;
  }

  async dispose(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Opens it as it is now, as a member does at its start. Rejects with what is neither a state nor a refusal. */
  async open(): Promise<Judged> {
    const storage = createFileStorage({
      directory: this.directory,
      nodeId: this.owner.nodeId,
      clusterId: this.owner.clusterId,
      segmentBytes: SPARE_BYTES,
    });
    try {
      const state = await storage.open();
      const snapshot = await storage.readSnapshot();
      let checksum = 0;
      try {
        for await (const chunk of snapshot?.chunks() ?? []) checksum = crc32c(chunk, checksum);
      } finally {
        await snapshot?.release();
      }
      return { kind: 'opened', state: fingerprint(state, checksum) };
    } catch (error) {
      // A damaged version number looks like a later version's.
      const refused = hasCode(error, 'data-damaged') || hasCode(error, 'version-unsupported');
      if (!refused) throw error;
      const text = messageOf(error);
      if (!text.includes(this.directory))
        throw new Error(`names no file: ${text}`, { cause: error });
      if (!/join it anew|copy|restore|start this node with/.test(text))
        throw new Error(`no remedy: ${text}`, { cause: error });
      return { kind: 'refused' };
    } finally {
      await storage.close();
    }
  }

  /** Puts these bytes in the place of the last segment's, opens, and says whether that is one of `allowed`. */
  async judge(
    tally: SweepTally,
    damage: { readonly what: string; readonly bytes: Buffer; readonly file?: string },
    allowed: { readonly states: ReadonlySet<string>; readonly refusal: boolean },
  ): Promise<void> {
    await writeFile(damage.file ?? this.log, damage.bytes);
    tally.tried++;
    try {
      const judged = await this.open();
      if (judged.kind === 'refused') {
        tally.refused++;
        if (!allowed.refusal) tally.wrong.push(`${damage.what}: refused`);
      } else {
        tally.opened++;
        if (!allowed.states.has(judged.state)) {
          tally.wrong.push(`${damage.what}: opened with a state it never was in`);
        }
      }
    } catch (error) {
      tally.wrong.push(`${damage.what}: ${messageOf(error)}`);
    }
  }

  /** The state with everything from `offset` on gone; undefined if that is refused. */
  async stateCutAt(offset: number): Promise<string | undefined> {
    const bytes = Buffer.from(this.whole);
    bytes.fill(0, offset);
    await writeFile(this.log, bytes);
    const judged = await this.open();
    return judged.kind === 'opened' ? judged.state : undefined;
  }
}

/** What a member starts with, in so many words. */
function fingerprint(state: StoredState, snapshotChecksum: number): string {
  const { hardState, snapshot, entries } = state;
  const shown = entries.map(({ index, term, kind, data }) => [index, term, kind, crc32c(data)]);
  return JSON.stringify([hardState, snapshot, snapshotChecksum, shown]);
}

export type SweepOptions = {
  /** Bytes from one damage to the next. Default 1: every byte. */
  readonly stride?: number;
  /** Bytes before the last group that are flipped. Default 2000. */
  readonly middleBytes?: number;
};

/**
 * Cuts the log at each byte of its last group commit (zeros behind, garbage behind, nothing behind), and flips each byte of it
 * and of what was durable before.
 */
export async function sweepLog(copy: DamagedCopy, options: SweepOptions = {}): Promise<SweepTally> {
  const { stride = 1, middleBytes = 2000 } = options;
  const tally: SweepTally = { tried: 0, opened: 0, refused: 0, wrong: [] };
  const { whole, lastGroup, end, offsets } = copy;
  const truth = await copy.stateCutAt(end);
  if (truth === undefined) throw new Error('the log is refused although nothing happened to it');
  const states = new Set([truth]);
  let refusal = false;
  for (const offset of offsets.filter((each) => each >= lastGroup)) {
    const state = await copy.stateCutAt(offset);
    if (state === undefined) refusal = true;
    else states.add(state);
  }
  const torn = { states, refusal };
  for (let at = lastGroup; at < end; at += stride) {
    const zeros = Buffer.from(whole);
    zeros.fill(0, at);
    await copy.judge(tally, { what: `zeros from ${at}`, bytes: zeros }, torn);
    await copy.judge(tally, { what: `ends at ${at}`, bytes: whole.subarray(0, at) }, torn);
    const garbage = Buffer.from(whole);
    for (let each = at; each < end; each++) garbage[each] = (each * 151 + 37) & 0xff;
    await copy.judge(tally, { what: `garbage from ${at}`, bytes: garbage }, torn);
    await copy.judge(tally, { what: `flipped at ${at}`, bytes: flipped(whole, at) }, torn);
  }
  const intact = { states: new Set([truth]), refusal: true };
  for (let at = Math.max(0, lastGroup - middleBytes); at < lastGroup; at += stride) {
    await copy.judge(tally, { what: `flipped at ${at}`, bytes: flipped(whole, at) }, intact);
  }
  await writeFile(copy.log, whole);
  return tally;
}

/** Flips each byte of the newest snapshot, and cuts it at each byte: it is refused, or nothing of it has changed. */
export async function sweepSnapshot(
  copy: DamagedCopy,
  { stride = 1 }: SweepOptions = {},
): Promise<SweepTally> {
  const tally: SweepTally = { tried: 0, opened: 0, refused: 0, wrong: [] };
  const directory = join(copy.directory, 'snapshots');
  await mkdir(directory, { recursive: true });
  const names = (await readdir(directory)).filter((name) => name.endsWith('.snap')).sort();
  const file = join(directory, names.at(-1) ?? '');
  const whole = await readFile(file);
  const truth = await copy.open();
  if (truth.kind === 'refused') throw new Error('the snapshot is refused although it is whole');
  const intact = { states: new Set([truth.state]), refusal: true };
  const cut = { states: new Set<string>(), refusal: true };
  for (let at = 0; at < whole.length; at += stride) {
    await copy.judge(
      tally,
      { what: `snapshot flipped at ${at}`, bytes: flipped(whole, at), file },
      intact,
    );
    await copy.judge(
      tally,
      { what: `snapshot ends at ${at}`, bytes: whole.subarray(0, at), file },
      cut,
    );
  }
  await writeFile(file, whole);
  return tally;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ (1 << (at & 7));
  return copy;
}
