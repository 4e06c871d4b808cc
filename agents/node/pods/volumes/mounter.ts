/** tmpfs mounts on the node through mount(8), and the twin that leaves plain directories. */

import { readFile } from 'node:fs/promises';
import { runCommand } from '../../../../src/lib/command.ts';
import type { Mounter } from '../ports.ts';

const MOUNT_DEADLINE_MS = 10_000;

/** A mounter on the machine's own mount table. Needs the right to mount. */
export const systemMounter: Mounter = {
  async mountTmpfs(path, { sizeBytes, mode }) {
    if ((await mountPoints()).includes(path)) return;
    const options = [`mode=${mode.toString(8)}`, ...(sizeBytes ? [`size=${sizeBytes}`] : [])];
    const args = ['-t', 'tmpfs', '-o', options.join(','), 'tmpfs', path];
    await runCommand('mount', args, { deadlineMs: MOUNT_DEADLINE_MS });
  },

  async unmountBelow(path) {
    const below = (await mountPoints()).filter(
      (point) => point === path || point.startsWith(`${path}/`),
    );
    // The deepest first; lazily, so that a straggling process cannot hold the pod's end up.
    for (const point of below.sort((a, b) => b.length - a.length)) {
      await runCommand('umount', ['-l', point], { deadlineMs: MOUNT_DEADLINE_MS });
    }
  },
};

/** A mounter that mounts nothing: directories stay what they are. */
export const memoryMounter: Mounter = {
  async mountTmpfs() {},
  async unmountBelow() {},
};

async function mountPoints(): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''));
}

/** The kernel writes blanks in paths as \040. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
