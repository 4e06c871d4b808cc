/** Runs seeds against a core or a driver with a fault in it, until the fault is seen. */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Edit, Mutant } from './mutants.ts';
import { runSeed } from './simulation.ts';
import type { CoreModule } from './world.ts';

export type Verdict = {
  readonly name: string;
  /** Undefined: nobody noticed. */
  readonly caught:
    | { readonly seed: number; readonly checker: string; readonly law: string }
    | undefined;
  readonly seeds: number;
  readonly ms: number;
};

const coreFolder = new URL('../../../raft/', import.meta.url).pathname;

/** Tries the seeds one after another. Throws Error if an edit does not fit the core any more. */
export async function tryMutant(
  mutant: Mutant,
  range: { readonly from: number; readonly seeds: number },
): Promise<Verdict> {
  const { name, edits = [], faults = [], skip = [], adjust } = mutant;
  const folder = edits.length === 0 ? undefined : await mkdtemp(join(tmpdir(), 'raft-mutant-'));
  try {
    const core = folder === undefined ? undefined : await mutatedCore(folder, mutant.name, edits);
    const startMs = performance.now();
    for (let at = 0; at < range.seeds; at++) {
      const seed = range.from + at;
      const { failure } = runSeed(seed, {
        ...{ faults, skip },
        ...(core === undefined ? {} : { core }),
        ...(adjust === undefined ? {} : { adjust }),
      });
      if (failure === undefined) continue;
      const { checker, law } = failure;
      const ms = performance.now() - startMs;
      return { name, caught: { seed, checker, law }, seeds: at + 1, ms };
    }
    return { name, caught: undefined, seeds: range.seeds, ms: performance.now() - startMs };
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

async function mutatedCore(
  folder: string,
  name: string,
  edits: readonly Edit[],
): Promise<CoreModule> {
  await cp(coreFolder, folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const { file, find, replace } of edits) {
    const path = join(folder, file);
    const text = await readFile(path, 'utf8');
    const parts = text.split(find);
    if (parts.length !== 2) {
      throw new Error(
        `${name}: ${file} has ${parts.length - 1} places to change, not one: ${find}`,
      );
    }
    await writeFile(path, parts.join(replace));
  }
  return (await import(pathToFileURL(join(folder, 'raw-node.ts')).href)) as CoreModule;
}
