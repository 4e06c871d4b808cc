/**
 * Writes the files of a volume so that a reader sees all of the old or all of the new ones: the
 * contents live in a directory of their own, `..data` links to it and is swapped by rename, and the
 * visible names link through `..data`.
 */

import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export type VolumeFile = {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner; root when absent. */
  readonly uid?: number;
  readonly gid?: number;
};

/** Files by relative path, without `..` and without a leading slash. */
export type Payload = ReadonlyMap<string, VolumeFile>;

const DATA = '..data';
const DATA_NEXT = '..data_tmp';

/** Makes `directory` show exactly `payload`; answers false if it already did. */
export async function writeAtomically(directory: string, payload: Payload): Promise<boolean> {
  const current = await readlink(join(directory, DATA)).catch(() => undefined);
  if (current !== undefined && (await isSame(join(directory, current), payload))) return false;
  const stamp = `..${Date.now().toString(36)}.${randomBytes(6).toString('hex')}`;
  const fresh = join(directory, stamp);
  await mkdir(fresh, { mode: 0o755 });
  for (const [path, file] of payload) await writeOne(join(fresh, path), file);
  const next = join(directory, DATA_NEXT);
  await rm(next, { force: true });
  await symlink(stamp, next);
  await rename(next, join(directory, DATA));
  await linkNames(directory, payload);
  if (current !== undefined) await rm(join(directory, current), { recursive: true, force: true });
  return true;
}

async function writeOne(path: string, { data, mode, uid, gid }: VolumeFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, data, { mode: 0o600 });
  if (uid !== undefined || gid !== undefined) await chown(path, uid ?? 0, gid ?? 0);
  await chmod(path, mode);
}

/** Adds and removes the visible links: one per first path component. */
async function linkNames(directory: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  for (const name of wanted) {
    const link = join(directory, name);
    if (await lstat(link).catch(() => undefined)) continue;
    await symlink(join(DATA, name), link);
  }
  for (const name of await readdir(directory)) {
    if (name.startsWith('..') || wanted.has(name)) continue;
    await rm(join(directory, name), { force: true });
  }
}

async function isSame(directory: string, payload: Payload): Promise<boolean> {
  const present = await files(directory);
  if (present === undefined || present.length !== payload.size) return false;
  for (const path of present) {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const data = await readFile(join(directory, path)).catch(() => undefined);
    if (data === undefined || !data.equals(wanted.data)) return false;
    const { mode, gid } = await lstat(join(directory, path));
    if ((mode & 0o7777) !== wanted.mode || (wanted.gid !== undefined && gid !== wanted.gid)) {
      return false;
    }
  }
  return true;
}

async function files(directory: string, prefix = ''): Promise<string[] | undefined> {
  const entries = await readdir(join(directory, prefix), { withFileTypes: true }).catch(
    () => undefined,
  );
  if (entries === undefined) return undefined;
  const found: string[] = [];
  for (const entry of entries) {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name;
    if (entry.isDirectory()) found.push(...((await files(directory, path)) ?? []));
    else found.push(path);
  }
  return found;
}
