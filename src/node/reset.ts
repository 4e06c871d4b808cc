/** Makes a machine forget that it was a node: `skein reset`. */

import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { dataPaths, readClusterFile, takeDataDir } from './data-dir.ts';
import { clearMachineRecord, readMachineRecord } from './machine-record.ts';
import { readMounts } from './mounts.ts';
import { clearRemains } from './remains.ts';
import type { NodeConfig } from './settings.ts';

export type ResetOptions = {
  /**
   * Leave containers, network and their bookkeeping as they are: a node that joins anew under the same name takes
   * over those pods that are still its own, and ends the others. Default false.
   */
  readonly keepPods?: boolean;
};

/** What `keepPods` keeps below the data directory. */
const KEPT_WITH_PODS: readonly string[] = ['pods', 'network'];

/**
 * Ends the node's containers, removes its network and deletes its data directory. Rejects with config-invalid while the
 * node runs, or when the directory is none of a node.
 */
export async function resetNode(
  config: NodeConfig,
  log: Logger,
  { keepPods = false }: ResetOptions = {},
): Promise<void> {
  const paths = dataPaths(config.dataDir);
  const file = await readClusterFile(paths.cluster).catch(() => undefined);
  // Everything below is deleted: it must be ours beyond doubt, whatever was typed.
  const known = file ?? (await readMachineRecord(paths.machine));
  if (!known && !(await holdsIdentity(paths.identity))) {
    throw new SkeinError(
      'config-invalid',
      `--data-dir: ${paths.root} is no data directory of a node`,
    );
  }
  const lock = await takeDataDir(paths.root);
  if (keepPods) {
    await lock.release();
    await removeEntries(paths.root, KEPT_WITH_PODS);
    await clearMachineRecord(paths.machine);
    return;
  }
  const name = known?.node ?? config.nodeName;
  const clusterCidr = file?.clusterCidr ?? config.clusterCidr;
  await clearRemains({ ...config, nodeName: name, clusterCidr }, log);
  // Volumes of pods lie below; deepest first.
  for (const point of await readMounts(paths.root)) await runCommand('umount', ['-l', point]);
  await lock.release();
  await removeDirectory(paths.root);
  await clearMachineRecord(paths.machine);
}

/** A disk of its own may be mounted there: then the directory stays, empty. */
async function removeDirectory(path: string): Promise<void> {
  await removeEntries(path, []);
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EBUSY') throw error;
  });
}

async function removeEntries(path: string, except: readonly string[]): Promise<void> {
  for (const entry of await readdir(path)) {
    if (!except.includes(entry)) await rm(`${path}/${entry}`, { recursive: true, force: true });
  }
}

const holdsIdentity = (path: string): Promise<boolean> =>
  stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
