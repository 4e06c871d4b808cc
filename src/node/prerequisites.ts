/** What the machine must have before a node can start; every lack is told with its remedy, all at once. */

import { access, constants } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import type { NodeConfig } from './settings.ts';

const PROGRAM_DIRS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/bin'];
const PROGRAMS = [
  { name: 'ip', package: 'iproute2' },
  { name: 'bridge', package: 'iproute2' },
  { name: 'nft', package: 'nftables' },
  { name: 'conntrack', package: 'conntrack' },
  { name: 'busybox', package: 'busybox-static' },
];
const CNI_PLUGINS = ['ptp', 'host-local'];

async function exists(path: string, mode = constants.F_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

async function findIn(directories: readonly string[], name: string): Promise<boolean> {
  for (const directory of directories) if (await exists(`${directory}/${name}`)) return true;
  return false;
}

/** Everything that is missing, in words; empty when the node can start. */
export async function missingPrerequisites(config: NodeConfig): Promise<string[]> {
  const missing: string[] = [];
  const packages = new Set<string>();
  if (process.getuid?.() !== 0) {
    missing.push('root: pods need namespaces, mounts and firewall rules; run skein with sudo');
  }
  const searched = [...new Set([...(process.env['PATH'] ?? '').split(':'), ...PROGRAM_DIRS])];
  for (const { name, package: debian } of PROGRAMS) {
    if (await findIn(searched, name)) continue;
    missing.push(`the program "${name}"`);
    packages.add(debian);
  }
  for (const plugin of CNI_PLUGINS) {
    if (await findIn(config.cniBinDirs, plugin)) continue;
    missing.push(`the CNI plugin "${plugin}" (in ${config.cniBinDirs.join(' or ')})`);
    packages.add('containernetworking-plugins');
  }
  if (!(await exists(config.dockerSocket))) {
    const installed = await findIn(searched, 'dockerd');
    missing.push(
      installed
        ? `Docker: nothing listens at ${config.dockerSocket}; start it with: systemctl start docker (or service docker start)`
        : `Docker (no socket at ${config.dockerSocket})`,
    );
    if (!installed) packages.add('docker.io');
  }
  if (packages.size > 0) missing.push(`install with: apt-get install ${[...packages].join(' ')}`);
  return missing;
}

/** Throws prerequisite-missing with the whole list when something lacks. */
export async function checkPrerequisites(config: NodeConfig): Promise<void> {
  const missing = await missingPrerequisites(config);
  if (missing.length === 0) return;
  throw new SkeinError(
    'prerequisite-missing',
    `this machine lacks what a node needs:\n  - ${missing.join('\n  - ')}`,
  );
}
