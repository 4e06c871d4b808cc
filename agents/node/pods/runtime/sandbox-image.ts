/**
 * The image of the sandbox container, made on the node itself: a static busybox and nothing else, so
 * that pods start without any registry.
 */

import { readFile } from 'node:fs/promises';
import { pack } from 'tar-stream';
import { SkeinError } from '../../../../src/lib/errors.ts';

/** Where Debian's busybox-static puts its binary. */
export const BUSYBOX_PATH = '/bin/busybox';

const APPLETS = ['sh', 'sleep'] as const;

/** A tar of a root file system: busybox under /bin, and links to it for the given applets. */
export async function busyboxTar(
  applets: readonly string[] = APPLETS,
  busyboxPath: string = BUSYBOX_PATH,
): Promise<Buffer> {
  const binary = await readFile(busyboxPath).catch((error: unknown) => {
    const hint = `the sandbox image needs ${busyboxPath}: install the package busybox-static`;
    throw new SkeinError('prerequisite-missing', hint, { cause: error });
  });
  const tar = pack();
  const chunks: Buffer[] = [];
  tar.on('data', (chunk: unknown) => chunks.push(chunk as Buffer));
  const done = new Promise<void>((resolve, reject) => {
    tar.on('end', resolve);
    tar.on('error', reject);
  });
  // Fixed times: the same binary makes the same image on every node.
  const mtime = new Date(0);
  for (const name of ['bin', 'etc', 'tmp', 'dev', 'proc', 'sys']) {
    tar.entry({
      name: `${name}/`,
      type: 'directory',
      mode: name === 'tmp' ? 0o1777 : 0o755,
      mtime,
    });
  }
  tar.entry({ name: 'bin/busybox', mode: 0o755, mtime }, binary);
  for (const applet of applets) {
    tar.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox', mtime });
  }
  tar.finalize();
  await done;
  return Buffer.concat(chunks);
}

/** What a sandbox runs: nothing, for ever. */
export const PAUSE_COMMAND = ['/bin/sleep', '2147483647'] as const;

/**
 * As above for pods that share their process namespace: there it is process 1, and must collect
 * orphans, which a waiting shell does.
 */
export const PAUSE_REAPING_COMMAND = [
  '/bin/sh',
  '-c',
  'trap "exit 0" TERM INT; while :; do sleep 2147483647 & wait; done',
] as const;
