/**
 * Performs every play in plays/ and compares the trace, line by line, with the one written there.
 * `node test/raft/plays.test.ts --rewrite` writes down the new one: commit only what you can explain.
 */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import { Stage } from './support/stage.ts';

const folder = new URL('./plays/', import.meta.url);
const rewrite = process.argv.includes('--rewrite');

/** Keeps blank lines, comments and commands; replaces what is between by what happens. */
function perform(script: string): string {
  const stage = new Stage();
  const lines: string[] = [];
  for (const line of script.split('\n')) {
    if (line.startsWith('> ')) {
      const happened = stage.perform(line.slice(2).trim());
      lines.push(line, ...happened.map((event) => `  ${event}`));
    } else if (line === '' || line.startsWith('#')) lines.push(line);
  }
  return lines.join('\n');
}

const names = (await readdir(folder)).filter((name) => name.endsWith('.play')).sort();
for (const name of names) {
  t.test(`play: ${name.replace('.play', '').replaceAll('-', ' ')}`, async (t) => {
    const file = new URL(name, folder);
    const script = await readFile(file, 'utf8');
    t.match(script, /^# [A-Z]/, 'it opens with what it proves');
    const performed = perform(script);
    if (rewrite) await writeFile(file, performed);
    else t.equal(performed, script);
  });
}
