/** What is mounted below a directory. */

import { readFile } from 'node:fs/promises';

/** Mount points strictly below `root`, deepest first. */
export async function readMounts(root: string): Promise<string[]> {
  return mountsBelow(await readFile('/proc/self/mountinfo', 'utf8'), root);
}

/** The same from the text of /proc/self/mountinfo. Pure. */
export function mountsBelow(mountinfo: string, root: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => decodePoint(line.split(' ')[4] ?? ''))
    .filter((point) => point.startsWith(`${root}/`))
    .sort((one, other) => other.length - one.length || (one < other ? -1 : 1));
}

/** The kernel writes spaces, tabs, line ends and backslashes as octal numbers. */
function decodePoint(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
