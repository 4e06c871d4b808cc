/**
 * Durable storage in a directory of its own: `wal/` with the log's segments, `snapshots/`, and `lock`, which names the
 * process that uses it. Directories are 0700, files 0600: the state holds every secret of the cluster.
 */

import { chmod, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogIndex } from '../../raft/types.ts';
import { SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import { LogReplay } from './log-replay.ts';
import { SnapshotFiles } from './snapshot-files.ts';
import type { Storage, StoredState } from './storage.ts';
import { WriteAheadLog, type WriteAheadLogOptions } from './write-ahead-log.ts';

export type FileStorageOptions = Omit<WriteAheadLogOptions, 'directory'> & {
  /** Created when missing; may lie in a directory that exists. */
  readonly directory: string;
};

/** Storage in `options.directory`. A directory of another node or cluster is refused at open. */
export function createFileStorage(options: FileStorageOptions): Storage {
  const walDirectory = join(options.directory, 'wal');
  const snapshotDirectory = join(options.directory, 'snapshots');
  const lock = join(options.directory, 'lock');
  const snapshots = new SnapshotFiles(snapshotDirectory, options);
  let log: WriteAheadLog | undefined;
  const opened = (): WriteAheadLog => {
    invariant(log !== undefined, 'storage is opened before it is used');
    return log;
  };
  return {
    async open() {
      for (const directory of [options.directory, walDirectory, snapshotDirectory]) {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await chmod(directory, 0o700);
      }
      await takeLock(lock);
      const snapshot = await snapshots.open();
      const replay = new LogReplay();
      log = await WriteAheadLog.open({ ...options, directory: walDirectory }, replay);
      const state = complete(replay.finish(snapshot), options.directory);
      if (replay.isVoid(snapshot)) {
        await log.append({ reset: snapshot, entries: [], hardState: state.hardState });
      }
      return state;
    },
    append: (batch) => opened().append(batch),
    compact: (upTo) => opened().compact(upTo),
    roll: (upTo) => opened().roll(upTo),
    oldest: async () => ({
      entry: opened().oldestIndex as LogIndex | undefined,
      snapshot: (await snapshots.oldestIndex()) as LogIndex | undefined,
    }),
    writeSnapshot: (meta) => snapshots.write(meta),
    readSnapshot: () => snapshots.read(),
    incoming: snapshots.incoming,
    async close() {
      await log?.close();
      await unlink(lock).catch(() => {});
    },
  };
}

/** The log and the snapshot must meet, and hold everything that was known to be committed. Throws data-damaged. */
export function complete(state: StoredState | undefined, directory: string): StoredState {
  if (state === undefined)
    throw incomplete(directory, 'entries between snapshot and log are missing');
  const last = state.entries.at(-1)?.index ?? state.snapshot?.index ?? 0;
  const commit = state.hardState?.commit ?? 0;
  if (commit > last) throw incomplete(directory, `entries ${last + 1} to ${commit} are missing`);
  return state;
}

function incomplete(directory: string, why: string): SkeinError {
  return new SkeinError(
    'data-damaged',
    `the log in ${directory} is incomplete: ${why}. Remove the member from the cluster, delete the directory and join it anew`,
  );
}

/** Two processes on one log would destroy it. A lock of a process that is gone is taken over. */
async function takeLock(path: string): Promise<void> {
  const mine = `${process.pid} ${await startOf(process.pid)}\n`;
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await writeFile(path, mine, { flag: 'wx', mode: 0o600 });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid = '', start] = (await readFile(path, 'utf8').catch(() => '')).trim().split(' ');
    const holder = await startOf(pid);
    if (holder !== undefined && holder === start && Number(pid) !== process.pid) {
      const text = `${path}: process ${pid} uses this data directory; stop it first`;
      throw new SkeinError('config-invalid', text);
    }
    await unlink(path).catch(() => {});
  }
  throw new SkeinError('config-invalid', `${path}: the lock could not be taken`);
}

/**
 * When a living process started, in clock ticks since boot: tells it from a later one with the same number. A zombie
 * that nobody has reaped holds nothing any more.
 */
async function startOf(pid: number | string): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields?.[0] === 'Z' || fields?.[0] === 'X' ? undefined : fields?.[19];
}
