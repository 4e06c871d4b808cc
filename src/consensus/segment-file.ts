/** One open segment of the write-ahead log: a file filled with zeros beforehand, so that a write changes no metadata. */

import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './wal-format.ts';

/** A piece of a spare that is being prepared, and the pause behind it. */
const ZEROS = Buffer.alloc(128 * 1024);
const PIECE_PAUSE_MS = 4;
const SEGMENT_NAME = /^(\d{12})\.wal$/;

/** The file a segment is prepared in before it has a number. */
export const SPARE_NAME = 'spare.tmp';

/** `000000000007.wal`. */
export function segmentName(segment: number): string {
  return `${String(segment).padStart(12, '0')}.wal`;
}

/** The number in a segment's file name, or undefined if it is none. */
export function segmentNumber(name: string): number | undefined {
  const match = SEGMENT_NAME.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Makes a directory's entries durable: a file whose name is not is lost with the power. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A segment being appended to. Positions are byte offsets in the file. */
export class SegmentFile {
  readonly header: SegmentHeader;
  readonly #handle: FileHandle;
  /** Where the next record goes. */
  position: number;
  /** Smallest index of any entry in it, live or not; undefined while there is none. */
  firstIndex: number | undefined;
  /** Largest index of any entry in it, live or not. */
  lastIndex = 0;

  private constructor(handle: FileHandle, header: SegmentHeader, position: number) {
    this.#handle = handle;
    this.header = header;
    this.position = position;
  }

  /**
   * A zeroed file under the spare name, ready to become a segment. Written and synced in small pieces with pauses between,
   * because the log's own syncs wait behind them at the disk; without pauses once `hurry` fires.
   */
  static async prepare(
    directory: string,
    bytes: number,
    { clock, hurry }: { readonly clock: Clock; readonly hurry: AbortSignal },
  ): Promise<FileHandle> {
    const handle = await open(join(directory, SPARE_NAME), 'w+', 0o600);
    for (let done = 0; done < bytes; done += ZEROS.length) {
      await writeZeros(handle, done, Math.min(ZEROS.length, bytes - done));
      await handle.datasync();
      if (!hurry.aborted) await sleep(PIECE_PAUSE_MS, clock, hurry).catch(() => {});
    }
    await handle.sync();
    return handle;
  }

  /** Gives a prepared file its header and its name. The header is durable before the name is. */
  static async activate(
    directory: string,
    prepared: FileHandle,
    header: SegmentHeader,
  ): Promise<SegmentFile> {
    await prepared.write(encodeSegmentHeader(header), 0, SEGMENT_HEADER_BYTES, 0);
    await prepared.datasync();
    const path = join(directory, segmentName(header.segment));
    await rename(join(directory, SPARE_NAME), path);
    await syncDirectory(directory);
    return new SegmentFile(prepared, header, SEGMENT_HEADER_BYTES);
  }

  /**
   * Continues an existing segment at `position`. With `torn` everything behind is zeroed first: left there, it could
   * pass for records once new ones stand before it.
   */
  static async resume(options: {
    readonly path: string;
    readonly header: SegmentHeader;
    readonly position: number;
    readonly size: number;
    readonly torn: boolean;
    readonly firstIndex: number | undefined;
    readonly lastIndex: number;
  }): Promise<SegmentFile> {
    const { path, header, position, size, torn } = options;
    const handle = await open(path, 'r+');
    if (torn) await writeZeros(handle, position, size - position);
    // 1. A process is killed before its sync; 2. the next one reads what it wrote, from the kernel's memory, and
    // acknowledges it; 3. the power fails. What is read is made durable before anybody hears of it.
    await handle.sync();
    const segment = new SegmentFile(handle, header, position);
    segment.firstIndex = options.firstIndex;
    segment.lastIndex = options.lastIndex;
    return segment;
  }

  /** Appends and makes durable. */
  async write(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const at = this.position + done;
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, at);
      done += bytesWritten;
    }
    await this.#handle.datasync();
    this.position += bytes.length;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function writeZeros(handle: FileHandle, from: number, length: number): Promise<void> {
  for (let done = 0; done < length; ) {
    const size = Math.min(ZEROS.length, length - done);
    const { bytesWritten } = await handle.write(ZEROS, 0, size, from + done);
    done += bytesWritten;
  }
}
