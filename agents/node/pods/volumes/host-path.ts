/** hostPath volumes: the type check, and creation where the type asks for it. */

import type { Stats } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';

/** Checks (and for the *OrCreate types makes) the path; answers a complaint in upstream's words, or undefined. */
export async function checkHostPath(path: string, type: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  switch (type) {
    case '':
      // Runtimes make a missing directory; Docker's mounts do not.
      if (found === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
      return undefined;
    case 'DirectoryOrCreate':
      if (found === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
      return found === undefined ? undefined : must(found.isDirectory(), path, 'a directory');
    case 'Directory':
      return must(found?.isDirectory(), path, 'a directory');
    case 'FileOrCreate':
      if (found === undefined) await (await open(path, 'a', 0o644)).close();
      return found === undefined ? undefined : must(found.isFile(), path, 'a file');
    case 'File':
      return must(found?.isFile(), path, 'a file');
    case 'Socket':
      return special(found, path, (stats) => stats.isSocket(), 'a socket file');
    case 'CharDevice':
      return special(found, path, (stats) => stats.isCharacterDevice(), 'a character device');
    case 'BlockDevice':
      return special(found, path, (stats) => stats.isBlockDevice(), 'a block device');
    default:
      return `hostPath type "${type}" is not supported`;
  }
}

function must(ok: boolean | undefined, path: string, what: string): string | undefined {
  return ok ? undefined : `hostPath type check failed: ${path} is not ${what}`;
}

function special(
  found: Stats | undefined,
  path: string,
  test: (stats: Stats) => boolean,
  what: string,
): string | undefined {
  return must(found !== undefined && test(found), path, what);
}
