/**
 * A snapshot on its way in: `incoming.part` holds what has arrived, `incoming.json` whose it is and how much of it is
 * durable. A transfer that breaks off goes on from there, also after a restart; what belongs to any other snapshot is
 * deleted as soon as one is offered. Nothing of it is ever in memory as a whole.
 */

import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c } from '../lib/crc32c.ts';
import { SkeinError } from '../lib/errors.ts';
import type { IncomingSnapshots, IncomingWriter, SnapshotIdentity } from './storage.ts';

const PART_NAME = 'incoming.part';
const STATE_NAME = 'incoming.json';
/** Bytes between two moments at which what has arrived is made durable. */
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
const READ_BYTES = 256 * 1024;

/** What is durable of it, and the checksum of that. */
type Progress = { readonly key: string; readonly offset: number; readonly checksum: number };

/** Makes `handle`, the whole payload at `path`, a snapshot of the directory. */
export type Adopt = (handle: FileHandle, path: string, identity: SnapshotIdentity) => Promise<void>;

/** The incoming snapshot of one directory. */
export class IncomingFiles implements IncomingSnapshots {
  readonly #part: string;
  readonly #state: string;
  readonly #adopt: Adopt;
  #receiving = false;

  constructor(directory: string, adopt: Adopt) {
    this.#part = join(directory, PART_NAME);
    this.#state = join(directory, STATE_NAME);
    this.#adopt = adopt;
  }

  async have(identity: SnapshotIdentity): Promise<number> {
    const progress = await this.#progress();
    const ours = progress?.key === keyOf(identity) && progress.offset <= identity.size;
    if (progress && ours && (await this.#checksum(progress.offset)) === progress.checksum) {
      return progress.offset;
    }
    await this.discard();
    return 0;
  }

  async receive(identity: SnapshotIdentity, from: number): Promise<IncomingWriter> {
    const progress = from === 0 ? undefined : await this.#progress();
    if (from !== (progress?.offset ?? 0)) throw damaged(`${from} bytes of it are not here`);
    if (from === 0) await this.discard();
    const handle = await open(this.#part, from === 0 ? 'wx+' : 'r+', 0o600);
    await handle.truncate(from);
    this.#receiving = true;
    return this.#writer(handle, identity, { offset: from, checksum: progress?.checksum ?? 0 });
  }

  /** Forgets what has arrived of a snapshot at `index` or before, which nobody needs any more. */
  async forget(index: number): Promise<void> {
    if (this.#receiving) return;
    const progress = await this.#progress();
    if (progress === undefined || Number(progress.key.split('-')[0]) <= index) await this.discard();
  }

  /** Forgets what has arrived. */
  async discard(): Promise<void> {
    await rm(this.#state, { force: true });
    await rm(this.#part, { force: true });
  }

  #writer(
    handle: FileHandle,
    identity: SnapshotIdentity,
    start: { offset: number; checksum: number },
  ): IncomingWriter {
    let { offset, checksum } = start;
    let durable = offset;
    const key = keyOf(identity);
    const checkpoint = async () => {
      if (offset === durable) return;
      await handle.datasync();
      await replace(this.#state, JSON.stringify({ key, offset, checksum } satisfies Progress));
      durable = offset;
    };
    return {
      write: async (chunk) => {
        for (let done = 0; done < chunk.length; ) {
          const at = offset + done;
          done += (await handle.write(chunk, done, chunk.length - done, at)).bytesWritten;
        }
        checksum = crc32c(chunk, checksum);
        offset += chunk.length;
        if (offset - durable >= CHECKPOINT_BYTES) await checkpoint();
      },
      commit: async () => {
        try {
          if (offset !== identity.size)
            throw damaged(`${offset} of ${identity.size} bytes arrived`);
          if (checksum !== identity.checksum) throw damaged('its checksum does not match');
          await this.#adopt(handle, this.#part, identity);
        } finally {
          this.#receiving = false;
          await handle.close().catch(() => {});
          // Adopted, or of no use.
          await this.discard();
        }
      },
      suspend: async () => {
        if (!this.#receiving) return;
        this.#receiving = false;
        try {
          await checkpoint();
        } finally {
          await handle.close();
        }
      },
    };
  }

  async #progress(): Promise<Progress | undefined> {
    try {
      const { key, offset, checksum } = JSON.parse(await readFile(this.#state, 'utf8')) as Progress;
      const whole = [offset, checksum].every((number) => Number.isSafeInteger(number));
      return whole && offset > 0 ? { key, offset, checksum } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Of the first `length` bytes that are there; undefined when there are fewer. */
  async #checksum(length: number): Promise<number | undefined> {
    const handle = await open(this.#part, 'r').catch(() => undefined);
    if (handle === undefined) return undefined;
    try {
      let checksum = 0;
      const chunk = Buffer.allocUnsafe(READ_BYTES);
      for (let at = 0; at < length; ) {
        const wanted = Math.min(READ_BYTES, length - at);
        const { bytesRead } = await handle.read(chunk, 0, wanted, at);
        if (bytesRead === 0) return undefined;
        checksum = crc32c(chunk.subarray(0, bytesRead), checksum);
        at += bytesRead;
      }
      return checksum;
    } finally {
      await handle.close();
    }
  }
}

/** Two snapshots of one position are the same bytes only if they have the same length and checksum. */
function keyOf({ meta, size, checksum }: SnapshotIdentity): string {
  return [meta.index, meta.term, meta.level ?? 1, size, checksum].join('-');
}

/** A state that is lost with the power costs the part it speaks of, nothing else. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.tmp`, content, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

function damaged(why: string): SkeinError {
  return new SkeinError('stream-closed', `the incoming snapshot cannot be used: ${why}`);
}
