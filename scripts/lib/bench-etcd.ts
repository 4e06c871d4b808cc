/** etcd as Debian ships it: the one in the path, or unpacked into a cache, which starts no service and changes nothing else. */

import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { runCommand } from '../../src/lib/command.ts';
import { messageOf } from '../../src/lib/errors.ts';

const CACHE = new URL('../../node_modules/.cache/etcd', import.meta.url).pathname;
const DOWNLOAD_MS = 120_000;

/** Path of an etcd server; fetches Debian's package when there is none. */
export async function findEtcd(): Promise<string> {
  const installed = await runCommand('sh', ['-c', 'command -v etcd']).catch(() => '');
  if (installed.trim() !== '') return installed.trim();
  const unpacked = `${CACHE}/usr/bin/etcd`;
  if (
    await access(unpacked).then(
      () => true,
      () => false,
    )
  )
    return unpacked;
  const directory = await mkdtemp('/tmp/skein-etcd-');
  try {
    await fetchPackage(directory);
    const [archive] = (await readdir(directory)).filter((name) => name.endsWith('.deb'));
    await runCommand('dpkg-deb', ['-x', `${directory}/${archive}`, `${directory}/root`]);
    await mkdir(`${CACHE}/..`, { recursive: true });
    await rm(CACHE, { recursive: true, force: true });
    await runCommand('cp', ['-r', `${directory}/root`, `${CACHE}.new`]);
    await rename(`${CACHE}.new`, CACHE);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return unpacked;
}

/** The package lists may be missing or old: they are fetched when the first try fails. */
async function fetchPackage(directory: string): Promise<void> {
  const script = `cd ${directory} && apt-get download -q etcd-server`;
  const download = () => runCommand('sh', ['-c', script], { deadlineMs: DOWNLOAD_MS });
  try {
    await download().catch(async () => {
      await runCommand('apt-get', ['update', '-q'], { deadlineMs: DOWNLOAD_MS });
      await download();
    });
  } catch (error) {
    throw new Error(`etcd cannot be had: ${messageOf(error)}; install Debian's etcd-server`);
  }
}

/** `3.4.23`. */
export async function etcdVersion(program: string): Promise<string> {
  const text = await runCommand(program, ['--version']);
  return /etcd Version: (\S+)/.exec(text)?.[1] ?? 'of an unknown version';
}
