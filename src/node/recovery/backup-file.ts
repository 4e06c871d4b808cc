/** Backup files: written so that a file under its name is whole, read so that nothing is believed unchecked. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SkeinError } from '../../lib/errors.ts';
import { type SnapshotSurvey, surveySnapshot } from '../../store/snapshot.ts';
import { syncDirectory } from '../data-dir.ts';
import { type BackupHeader, BackupReader } from './backup-format.ts';

export type BackupSummary = {
  readonly header: BackupHeader;
  readonly bytes: number;
  /** Of the whole file, as sha256sum prints it. */
  readonly sha256: string;
};

/** Where a backup's bytes go. */
export interface BackupSink {
  write(chunk: Uint8Array): Promise<void>;
}

const READ_BYTES = 256 * 1024;

/** Passes a backup on while it is checked. Rejects with data-damaged when it is not whole. */
export async function passBackup(
  chunks: AsyncIterable<Uint8Array>,
  sink: BackupSink,
  name: string,
): Promise<BackupSummary> {
  const reader = new BackupReader(name);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    reader.add(chunk);
    hash.update(chunk);
    bytes += chunk.length;
    await sink.write(chunk);
  }
  return { header: reader.finish(), bytes, sha256: hash.digest('hex') };
}

/**
 * Writes a backup to `path`, readable by its owner alone. The name stands for a whole, durable file: a backup that breaks off
 * leaves nothing. Rejects with config-invalid when there is a file already.
 */
export async function writeBackupFile(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
): Promise<BackupSummary> {
  await refuseExisting(path);
  const temporary = `${path}.${randomBytes(4).toString('hex')}.partial`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    const summary = await passBackup(chunks, sinkOf(file), 'the backup');
    await file.sync();
    await file.close();
    await rename(temporary, path);
    await syncDirectory(dirname(resolve(path)));
    return summary;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Rejects with config-invalid when there is something at `path`. */
export async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) throw new SkeinError('config-invalid', `${path} exists already; choose another name`);
}

export type OpenBackup = {
  readonly header: BackupHeader;
  /** The sealed keys, if they are in it. */
  readonly keys: Buffer | undefined;
  /** The store's snapshot stream. Ends properly only if the whole file is as it was written. */
  readonly data: AsyncGenerator<Buffer>;
};

/** Opens a backup file and reads its beginning. Rejects with data-damaged when that is none of an intact backup. */
export async function openBackup(path: string): Promise<OpenBackup> {
  const reader = new BackupReader(path);
  const frames = framesOf(path, reader);
  await frames.next();
  // A file without so much as a header is cut short.
  const header = reader.header ?? reader.finish();
  const second = header.keys ? await frames.next() : undefined;
  const keys = second?.done === false ? second.value.payload : undefined;
  async function* data(): AsyncGenerator<Buffer> {
    for await (const { kind, payload } of frames) if (kind === 'data') yield payload;
  }
  return { header, keys, data: data() };
}

async function* framesOf(path: string, reader: BackupReader) {
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    yield* reader.add(chunk as Buffer);
  }
  reader.finish();
}

export type BackupReport = BackupSummary & { readonly content: SnapshotSurvey };

/** Reads a backup file to its end, its content included. Rejects with data-damaged when anything is not as it was written. */
export async function verifyBackup(path: string): Promise<BackupReport> {
  const summary = await passBackup(
    createReadStream(path, { highWaterMark: READ_BYTES }),
    { write: async () => {} },
    path,
  );
  const { header, data } = await openBackup(path);
  const content = await surveySnapshot(data);
  if (content.objects === header.objects && content.revision === header.revision) {
    return { ...summary, content };
  }
  throw new SkeinError(
    'data-damaged',
    `${path} is no intact backup: it says ${header.objects} objects at revision ${header.revision} and holds ${content.objects} at ${content.revision}`,
  );
}

const sinkOf = (file: FileHandle): BackupSink => ({
  write: async (chunk) => {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, done, chunk.length - done);
      done += bytesWritten;
    }
  },
});
