/**
 * The product under test, as one bundle: what is simulated is always reached through here, so that a copy with faults
 * in it can take the place of the whole. A copy is made by loading every module anew under a name of its own, the text
 * of some of them changed on the way.
 */

import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import * as core from '../../../raft/raw-node.ts';
import * as consensus from '../../../src/consensus/consensus.ts';
import * as logReplay from '../../../src/consensus/log-replay.ts';
import * as errors from '../../../src/lib/errors.ts';
import * as replicatedStore from '../../../src/store/replicated-store.ts';
import * as state from '../../../src/store/state.ts';

/** Every door the simulation uses. Errors have to be of the same copy: callers ask `instanceof`. */
export type Product = Pick<typeof core, 'createRaftNode' | 'decodeConfChange'> &
  Pick<typeof consensus, 'createConsensus'> &
  Pick<typeof logReplay, 'LogReplay'> &
  Pick<typeof errors, 'SkeinError'> &
  Pick<typeof replicatedStore, 'createReplicatedStore'> &
  Pick<typeof state, 'StoreState'>;

/** A change of a file's text; `find` has to occur in it exactly once. */
export type Edit = {
  /** Below the repository's root. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
};

/** The product as it is. */
export const realProduct: Product = {
  ...core,
  ...consensus,
  ...logReplay,
  ...errors,
  ...replicatedStore,
  ...state,
};

const ROOT = new URL('../../../', import.meta.url).href;
const SOURCES = [`${ROOT}raft/`, `${ROOT}src/`];
const copies = new Map<string, readonly Edit[]>();

/** The product with `edits`. Throws Error if one of them does not fit the text. */
export async function loadProduct(edits: readonly Edit[]): Promise<Product> {
  for (const { file, find } of edits) {
    const places = readFileSync(new URL(file, ROOT), 'utf8').split(find).length - 1;
    if (places !== 1) throw new Error(`${file} has ${places} places to change, not one: ${find}`);
  }
  if (copies.size === 0) hook();
  const name = String(copies.size + 1);
  copies.set(name, edits);
  const load = async (file: string) => import(`${ROOT}${file}?copy=${name}`);
  return {
    ...(await load('raft/raw-node.ts')),
    ...(await load('src/consensus/consensus.ts')),
    ...(await load('src/consensus/log-replay.ts')),
    ...(await load('src/lib/errors.ts')),
    ...(await load('src/store/replicated-store.ts')),
    ...(await load('src/store/state.ts')),
  };
}

/** From now on what a copy imports of the product belongs to the copy. */
function hook(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const name = copyOf(context.parentURL);
      const ours = SOURCES.some((folder) => found.url.startsWith(folder));
      return name === undefined || !ours ? found : { ...found, url: `${found.url}?copy=${name}` };
    },
    load(url, context, next) {
      const found = next(url, context);
      const edits = copies.get(copyOf(url) ?? '') ?? [];
      const path = url.slice(ROOT.length).split('?')[0];
      let source = found.source;
      for (const { file, find, replace } of edits) {
        if (file !== path || source === undefined || source === null) continue;
        const text =
          typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
        source = text.split(find).join(replace);
      }
      return source === found.source ? found : { ...found, source };
    },
  });
}

function copyOf(url: string | undefined): string | undefined {
  return url?.split('?copy=')[1];
}
