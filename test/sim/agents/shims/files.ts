/**
 * What the pod agent gets for `node:fs/promises` in a simulation: files in memory that outlive every crash. Their damage is not
 * what is simulated here; directories are only what the names of files say.
 */

import { failure } from '../../machine/fs-shim.ts';

// What is not simulated finds none of the simulation's paths on the real disk.
export * from 'node:fs/promises';

const files = new Map<string, Buffer>();
/** Files of the machine itself that agents read. */
const OF_THE_MACHINE: Readonly<Record<string, string>> = {
  '/proc/meminfo': 'MemAvailable: 16000000 kB\n',
  '/etc/resolv.conf': '',
  '/etc/hosts': '',
};

/** Every file is gone. */
export function resetFiles(): void {
  files.clear();
}

export async function mkdir(): Promise<void> {}
export async function chmod(): Promise<void> {}
export async function chown(): Promise<void> {}

export async function writeFile(path: string, content: string | Uint8Array): Promise<void> {
  files.set(path, Buffer.from(content as string));
}

export async function readFile(path: string, encoding?: 'utf8'): Promise<Buffer | string> {
  const own = OF_THE_MACHINE[path];
  const found = own === undefined ? files.get(path) : Buffer.from(own);
  if (found === undefined) throw failure('ENOENT', path);
  return encoding === undefined ? Buffer.from(found) : found.toString(encoding);
}

export async function readdir(path: string): Promise<string[]> {
  const names = new Set<string>();
  for (const name of files.keys()) {
    const first = name.startsWith(`${path}/`) ? name.slice(path.length + 1).split('/')[0] : '';
    if (first) names.add(first);
  }
  return [...names].sort();
}

export async function rename(from: string, to: string): Promise<void> {
  const content = files.get(from);
  if (content === undefined) throw failure('ENOENT', from);
  files.delete(from);
  files.set(to, content);
}

export async function rm(path: string): Promise<void> {
  for (const name of [...files.keys()]) {
    if (name === path || name.startsWith(`${path}/`)) files.delete(name);
  }
}

export async function open(path: string): Promise<never> {
  throw failure('ENOENT', path);
}

/** A disk with room. */
export async function statfs() {
  return { blocks: 1e8, bavail: 9e7, bsize: 4096, files: 1e7, ffree: 9e6 };
}
