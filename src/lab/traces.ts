/** Whatever a lab could leave behind on the machine, looked for in the machine and not in the lab's own books. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { runCommand } from '../lib/command.ts';
import { labRoot } from './state.ts';

/** Every trace of lab `name`, one line each, sorted. `index` is that of its subnet, where it is known. */
export async function tracesOf(name: string, index?: number): Promise<readonly string[]> {
  const found = await Promise.all([
    namespaces(name),
    index === undefined ? [] : addresses(index),
    controlGroups(name),
    processes(name),
    files(name),
  ]);
  return found.flat().sort();
}

async function namespaces(name: string): Promise<readonly string[]> {
  const entries = await readdir('/run/netns').catch(() => []);
  return entries
    .filter((entry) => entry.startsWith(`skein-${name}-`))
    .map((entry) => `network namespace ${entry}`);
}

async function addresses(index: number): Promise<readonly string[]> {
  const text = await runCommand('ip', ['-o', '-4', 'addr']);
  return text
    .split('\n')
    .filter((line) => line.includes(` 10.77.${index}.`))
    .map((line) => `address ${line.replaceAll(/\s+/g, ' ')}`);
}

async function controlGroups(name: string): Promise<readonly string[]> {
  const pattern = ['-maxdepth', '3', '-type', 'd', '-name', `skein-lab-${name}-*`];
  const text = await runCommand('find', ['/sys/fs/cgroup', ...pattern]);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `control group ${line}`);
}

/** Processes that run in, mount, or were told of anything of the lab; commands of the lab itself excepted. */
async function processes(name: string): Promise<readonly string[]> {
  const own = `${labRoot()}/${name}/`;
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const [mounts = '', command = ''] = await Promise.all(
      ['mountinfo', 'cmdline'].map((file) =>
        readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''),
      ),
    );
    const words = command.replaceAll('\0', ' ').trim();
    const named = words.includes(own) || words.includes(`/run/netns/skein-${name}-`);
    // A process that ends has no command line any more.
    if (words !== '' && (named || mounts.includes(own))) found.push(`process ${pid}: ${words}`);
  }
  return found;
}

async function files(name: string): Promise<readonly string[]> {
  const path = `${labRoot()}/${name}`;
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(`${path}/`));
  return [...(exists ? [`directory ${path}`] : []), ...mounts.map((line) => `mount ${line}`)];
}
