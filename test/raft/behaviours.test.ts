/**
 * The table of behaviours in raft/README.md is written from `behaviours/table.ts`, and everything it names is there.
 * `node test/raft/behaviours.test.ts --rewrite` writes it; `node test/raft/behaviours/take-out.ts` proves that each test
 * sees its behaviour missing.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { behaviours, type Guard } from './behaviours/table.ts';
import { root, testFileOf } from './behaviours/taken-out.ts';

const README = join(root, 'raft/README.md');
const BEGIN = '| #   | behaviour';
const HEAD = [`${BEGIN} | tests |`, '| --- | --- | --- |'];

const texts = new Map<string, Promise<string>>();
const textOf = (path: string): Promise<string> => {
  const text = texts.get(path) ?? readFile(join(root, path), 'utf8');
  texts.set(path, text);
  return text;
};

function shown({ file, test }: Guard): string {
  const path = `../test/${file}`;
  return file.endsWith('.play') ? `[${test}](${path})` : `[${file}](${path}) "${test}"`;
}

function table(): string {
  const rows = behaviours.map(({ number, name, guards }) => {
    const tests = [...new Set(guards.map(shown))].join('<br>');
    return `| ${number} | ${name} | ${tests} |`;
  });
  return [...HEAD, ...rows].join('\n');
}

/** The formatter aligns columns. */
function compact(markdown: string): string {
  return markdown.replace(/ *\| */g, '|').replace(/-{3,}/g, '---');
}

t.test('behaviours: all 36 are there, each with a test', async (t) => {
  const numbers = Array.from({ length: 36 }, (_, at) => at + 1);
  t.strictSame(
    behaviours.map(({ number }) => number),
    numbers,
  );
  for (const { name, guards } of behaviours) t.ok(guards.length > 0, name);
});

t.test('behaviours: every test that is named is there', async (t) => {
  for (const { file, test } of behaviours.flatMap(({ guards }) => guards)) {
    const source = await textOf(`test/${file}`);
    if (testFileOf(file) !== file) t.match(source, /^# /, `${file} is a play`);
    else for (const part of test.split('*')) t.ok(source.includes(part), `${file}: ${test}`);
  }
});

t.test('behaviours: the code that each test guards is there, once', async (t) => {
  for (const { test, without } of behaviours.flatMap(({ guards }) => guards)) {
    const { file, find, replace } = without;
    const places = (await textOf(file)).split(find).length - 1;
    t.equal(places, 1, `${file}: ${test}`);
    t.not(find, replace);
  }
});

t.test('behaviours: raft/README.md shows them as they are', async (t) => {
  const text = await readFile(README, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf('\n\n', begin);
  if (process.argv.includes('--rewrite')) {
    await writeFile(README, text.slice(0, begin) + table() + text.slice(end));
  } else t.equal(compact(text.slice(begin, end)), compact(table()));
});
