/**
 * The product under test, as one bundle: what is simulated is always reached through here. Every copy is loaded anew under a
 * name of its own; on the way its files are made those of the simulation, and the text of some of it may be changed.
 */

import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type * as core from '../../../raft/raw-node.ts';
import type * as consensus from '../../../src/consensus/consensus.ts';
import type * as fileStorage from '../../../src/consensus/file-storage.ts';
import type * as errors from '../../../src/lib/errors.ts';
import type * as replicatedStore from '../../../src/store/replicated-store.ts';
import type * as state from '../../../src/store/state.ts';

/** Every door the simulation uses. Errors have to be of the same copy: callers ask `instanceof`. */
export type Product = Pick<typeof core, 'createRaftNode' | 'decodeConfChange'> &
  Pick<typeof consensus, 'createConsensus'> &
  Pick<typeof fileStorage, 'createFileStorage'> &
  Pick<typeof errors, 'SkeinError'> &
  Pick<typeof replicatedStore, 'createReplicatedStore'> &
  Pick<typeof state, 'StoreState'> & {
    /** Another file of the same copy, by its path below the repository's root. */
    readonly load: (file: string) => Promise<unknown>;
  };

/** A change of a file's text; `find` has to occur in it exactly once. */
export type Edit = {
  /** Below the repository's root. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
};

const ROOT = new URL('../../../', import.meta.url).href;
const SOURCES = [`${ROOT}raft/`, `${ROOT}src/`, `${ROOT}agents/`];
const DOORS = [
  'raft/raw-node.ts',
  'src/consensus/consensus.ts',
  'src/consensus/file-storage.ts',
  'src/lib/errors.ts',
  'src/store/replicated-store.ts',
  'src/store/state.ts',
];
/** What parts of the product import of Node, and get from the simulation. */
const SHIMS: readonly {
  readonly of: string;
  readonly under: string;
  readonly by: string;
}[] = [
  { of: 'node:fs/promises', under: 'src/consensus/', by: '../machine/fs-shim.ts' },
  { of: 'node:crypto', under: 'src/consensus/', by: '../machine/fs-shim.ts' },
  { of: 'node:crypto', under: 'src/api/', by: '../agents/shims/crypto.ts' },
  { of: 'node:fs/promises', under: 'agents/node/pods/', by: '../agents/shims/files.ts' },
  { of: 'node:os', under: 'agents/node/pods/', by: '../agents/shims/os.ts' },
  { of: 'node:os', under: 'src/node/', by: '../agents/shims/os.ts' },
];

const copies = new Map<string, readonly Edit[]>();
let plain: Promise<Product> | undefined;

/** The product as it is. */
export function realProduct(): Promise<Product> {
  plain ??= loadProduct([]);
  return plain;
}

/** The product with `edits`. Throws Error if one of them does not fit the text. */
export async function loadProduct(edits: readonly Edit[]): Promise<Product> {
  for (const { file, find } of edits) {
    const places = readFileSync(new URL(file, ROOT), 'utf8').split(find).length - 1;
    if (places !== 1) throw new Error(`${file} has ${places} places to change, not one: ${find}`);
  }
  if (copies.size === 0) hook();
  const name = String(copies.size + 1);
  copies.set(name, edits);
  const load = (file: string): Promise<unknown> => import(`${ROOT}${file}?copy=${name}`);
  const modules = await Promise.all(DOORS.map(load));
  return Object.assign({ load }, ...modules) as Product;
}

/** From now on what a copy imports of the product belongs to the copy. */
function hook(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const parent = context.parentURL;
      const name = copyOf(parent);
      if (name === undefined) return next(specifier, context);
      const shim = SHIMS.find(
        ({ of, under }) => of === specifier && parent?.startsWith(`${ROOT}${under}`),
      );
      if (shim !== undefined) {
        return { url: new URL(shim.by, import.meta.url).href, shortCircuit: true };
      }
      const found = next(specifier, context);
      const ours = SOURCES.some((folder) => found.url.startsWith(folder));
      return ours ? { ...found, url: `${found.url}?copy=${name}` } : found;
    },
    load(url, context, next) {
      const found = next(url, context);
      const edits = copies.get(copyOf(url) ?? '') ?? [];
      const path = url.slice(ROOT.length).split('?')[0];
      const mine = edits.filter(({ file }) => file === path);
      const { source } = found;
      if (mine.length === 0 || source === undefined || source === null) return found;
      let text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
      for (const { find, replace } of mine) text = text.split(find).join(replace);
      return { ...found, source: text };
    },
  });
}

function copyOf(url: string | undefined): string | undefined {
  return url?.split('?copy=')[1];
}
