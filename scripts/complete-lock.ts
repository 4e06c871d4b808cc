/**
 * Completes package-lock.json after `npm install`: registries that mirror only some platforms make npm leave the
 * optional packages of all others out, and `npm ci` then refuses the whole file. Each gets an entry with its
 * version and platform, which is all npm needs to know in order to skip it. Run: node scripts/complete-lock.ts
 */

import { readFile, writeFile } from 'node:fs/promises';

type Entry = {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
};

const path = new URL('../package-lock.json', import.meta.url).pathname;
const lock = JSON.parse(await readFile(path, 'utf8')) as { packages: Record<string, Entry> };
const OS = [
  'linux',
  'darwin',
  'win32',
  'android',
  'freebsd',
  'openbsd',
  'netbsd',
  'sunos',
  'aix',
  'openharmony',
];
const CPU = ['x64', 'arm64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el'];

/** The entry of a package whose name says its platform: `@biomejs/cli-linux-x64-musl`. */
function platformEntry(name: string, version: string): Entry | undefined {
  const words = name.split(/[-/]/);
  const os = OS.find((word) => words.includes(word));
  const cpu = CPU.find((word) => words.includes(word));
  if (os === undefined || cpu === undefined) return undefined;
  const libc = words.includes('musl') ? { libc: ['musl'] } : {};
  return { version, cpu: [cpu], ...libc, optional: true, os: [os] };
}

let added = 0;
for (const { optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`;
    const entry = lock.packages[key] ? undefined : platformEntry(name, version);
    if (!entry) continue;
    lock.packages[key] = entry;
    added++;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)),
);
await writeFile(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} packages of other platforms added to package-lock.json`);
