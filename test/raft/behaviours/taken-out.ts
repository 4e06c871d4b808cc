/** Takes behaviours out of a copy of the product, one at a time, and asks whether the test that guards each sees it. */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guard } from './table.ts';

export const root = new URL('../../../', import.meta.url).pathname;
/** What the tests of the table need of the product. */
const COPIED = [
  'package.json',
  'raft',
  'src',
  'agents',
  'test/raft',
  'test/consensus',
  'test/node',
];
const DEADLINE_MS = 60_000;

/** A copy of the product that can be broken. */
export class Copy {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(): Promise<Copy> {
    const folder = await mkdtemp(join(tmpdir(), 'skein-taken-out-'));
    for (const path of [...COPIED, 'test/support']) {
      await cp(join(root, path), join(folder, path), { recursive: true });
    }
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    return new Copy(folder);
  }

  remove(): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }

  /** True if the guard's test fails while its behaviour is missing. Rejects if it did not run, or the edit does not fit. */
  async misses({ file, test, without }: Guard): Promise<boolean> {
    const path = join(this.#folder, without.file);
    const text = await readFile(path, 'utf8');
    if (text.split(without.find).length !== 2) {
      throw new Error(`${without.file} has not exactly one place to change: ${without.find}`);
    }
    await writeFile(
      path,
      text.replace(without.find, () => without.replace),
    );
    try {
      const output = await this.#run(testFileOf(file), test);
      const results = [...output.matchAll(/^(not )?ok \d+ - (.*?)( # .*)?$/gm)];
      const ran = results.filter(([, , name = '']) => patternOf(test).test(name));
      if (ran.length === 0) throw new Error(`${file} did not run "${test}":\n${output}`);
      return ran.some(([, not]) => not !== undefined);
    } finally {
      await writeFile(path, text);
    }
  }

  #run(file: string, test: string): Promise<string> {
    const env = { ...process.env, TAP_GREP: String(patternOf(test)) };
    const options = { cwd: this.#folder, env, timeout: DEADLINE_MS, maxBuffer: 64 * 1024 * 1024 };
    return new Promise((resolve) => {
      execFile(process.execPath, [join('test', file)], options, (_error, stdout) =>
        resolve(stdout),
      );
    });
  }
}

/** Plays are performed by one file. */
export function testFileOf(file: string): string {
  return file.endsWith('.play') ? 'raft/plays.test.ts' : file;
}

/** Matches the names that `test` stands for. */
function patternOf(test: string): RegExp {
  const parts = test.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
