/**
 * The house's one-way rule: who may import whom. `npm run check` fails on an import that goes down the
 * list of docs in README.md ("The house"), on an agent that imports another, and on a raft core that
 * imports anything at all.
 */

import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

/** Each layer with the layers it may import, besides itself. `types` only: src/resources from agents. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  raft: [],
  'src/lib': [],
  'src/actors': ['src/lib', 'src/mesh'],
  'src/mesh': ['raft', 'src/lib'],
  'src/consensus': ['raft', 'src/lib', 'src/mesh'],
  'src/sealing': ['src/lib'],
  'src/store': ['raft', 'src/lib', 'src/consensus', 'src/sealing'],
  'src/resources': ['src/lib'],
  'src/api': ['src/lib', 'src/store', 'src/resources'],
  'src/client': ['src/lib', 'src/store', 'src/resources', 'src/api'],
  agents: ['src/lib', 'src/actors', 'src/client', 'src/resources'],
};

/** Parts that compose others and may import everything. */
const TOP = ['src/cli', 'src/lab', 'src/chaos', 'src/node', 'scripts', 'test'];

const IMPORT =
  /^\s*(?:import|export)\b[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s+['"]([^'"]+)['"]/gm;

export type Violation = { readonly file: string; readonly imports: string; readonly why: string };

/** The layer of a path relative to the repository, or undefined for a part that may import everything. */
function layerOf(path: string): string | undefined {
  const layer = Object.keys(MAY_IMPORT).find((name) => path.startsWith(`${name}/`));
  if (layer || TOP.some((name) => path.startsWith(name))) return layer;
  throw new Error(`${path} lies in no layer of scripts/lib/layering.ts; give it a place there`);
}

/** `agents/cluster/scheduler` for a file below it; shared files directly in agents/cluster belong to no agent. */
function agentOf(path: string): string | undefined {
  const parts = path.split('/');
  return parts[0] === 'agents' && parts.length > 3 ? parts.slice(0, 3).join('/') : undefined;
}

/** Why `file` may not import `target` (both relative to the repository), or undefined when it may. */
export function whyForbidden(file: string, target: string): string | undefined {
  const from = layerOf(file);
  if (from === undefined) return undefined;
  const to = layerOf(target);
  if (to === undefined) return `${from} may not import ${target}: it composes the layers`;
  if (from !== to && !MAY_IMPORT[from]?.includes(to)) return `${from} may not import ${to}`;
  const fromAgent = agentOf(file);
  const toAgent = agentOf(target);
  if (fromAgent && toAgent && fromAgent !== toAgent) return `no agent imports another`;
  return undefined;
}

async function* sources(root: string, folder: string): AsyncGenerator<string> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* sources(root, path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

/** Every import of the repository at `root` that breaks the rule. */
export async function findViolations(root: string): Promise<Violation[]> {
  const violations: Violation[] = [];
  for (const folder of ['raft', 'src', 'agents']) {
    for await (const file of sources(root, folder)) {
      const text = await readFile(join(root, file), 'utf8');
      for (const match of text.matchAll(IMPORT)) {
        const specifier = match[1] ?? match[2] ?? match[3] ?? '';
        const local = specifier.startsWith('.');
        if (!local && file.startsWith('raft/')) {
          violations.push({ file, imports: specifier, why: 'raft imports nothing' });
        }
        if (!local) continue;
        const target = relative(root, resolve(root, dirname(file), specifier));
        const why = whyForbidden(file, target);
        if (why) violations.push({ file, imports: target, why });
      }
    }
  }
  return violations;
}
