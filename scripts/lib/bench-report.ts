/** Tables for people, and the sections of docs/benchmarks.md: a run replaces the sections it measured and leaves the others. */

import { readFile, writeFile } from 'node:fs/promises';

const PATH = new URL('../../docs/benchmarks.md', import.meta.url).pathname;
const TITLE = '# Benchmarks';

/** A markdown table. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** `text` with the section under `## heading` replaced, or added at the end. Pure. */
export function withSection(text: string, heading: string, body: string): string {
  const section = `## ${heading}\n\n${body.trim()}\n`;
  const parts = text.split(/^(?=## )/m);
  const at = parts.findIndex((part) => part.startsWith(`## ${heading}\n`));
  if (at < 0) return `${text.trimEnd()}\n\n${section}`;
  parts[at] = at === parts.length - 1 ? section : `${section}\n`;
  return parts.join('');
}

/** Replaces one section of docs/benchmarks.md. */
export async function saveSection(heading: string, body: string): Promise<void> {
  const text = await readFile(PATH, 'utf8').catch(() => `${TITLE}\n`);
  await writeFile(PATH, withSection(text, heading, body));
}
