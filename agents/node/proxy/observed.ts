/** What is in our table, read back from a listing, in the words in which we wrote it. Pure. */

import type { NftListing, NftObject } from './ports.ts';

export type ObservedTable = {
  /** Rules per chain, base chains included. */
  readonly chains: ReadonlyMap<string, number>;
  /** Sets and maps by name. */
  readonly sets: ReadonlySet<string>;
  /** `<map> <key>` to its value; undefined for elements of sets. Clients remembered for affinity are not ours to know. */
  readonly elements: ReadonlyMap<string, string | undefined>;
};

/** The table as nft's JSON shows it. */
export function observeTable({ nftables }: NftListing): ObservedTable {
  const chains = new Map<string, number>();
  const sets = new Set<string>();
  const elements = new Map<string, string | undefined>();
  for (const object of nftables) {
    const chain = object['chain']?.['name'];
    if (typeof chain === 'string') chains.set(chain, chains.get(chain) ?? 0);
    const ruled = object['rule']?.['chain'];
    if (typeof ruled === 'string') chains.set(ruled, (chains.get(ruled) ?? 0) + 1);
    const set = object['map'] ?? object['set'];
    const name = set?.['name'];
    if (typeof name !== 'string') continue;
    sets.add(name);
    if (!isShared(name)) continue;
    const listed: unknown = set?.['elem'];
    for (const element of Array.isArray(listed) ? (listed as unknown[]) : []) {
      const [key, value] = isMap(object) ? (element as [unknown, unknown]) : [element, undefined];
      elements.set(`${name} ${textOf(key)}`, value === undefined ? undefined : textOf(value));
    }
  }
  return { chains, sets, elements };
}

/** Names of fragments contain a slash; the shared maps have plain ones. */
const isShared = (name: string): boolean => !name.includes('/');

const isMap = (object: NftObject): boolean => object['map'] !== undefined;

/** A key or value as nft(8) would write it. */
function textOf(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  const { concat, goto } = (value ?? {}) as { concat?: unknown[]; goto?: { target?: unknown } };
  if (Array.isArray(concat)) return concat.map(textOf).join(' . ');
  if (goto !== undefined) return `goto ${String(goto.target)}`;
  return JSON.stringify(value);
}

/** How `found` differs from `wanted`, in words for a log; undefined when it does not. */
export function tableDifference(wanted: ObservedTable, found: ObservedTable): string | undefined {
  for (const [name, rules] of wanted.chains) {
    const there = found.chains.get(name);
    if (there === undefined) return `chain ${name} is missing`;
    if (there !== rules) return `chain ${name} has ${there} rules instead of ${rules}`;
  }
  for (const name of wanted.sets) if (!found.sets.has(name)) return `set ${name} is missing`;
  for (const [id, value] of wanted.elements) {
    if (!found.elements.has(id)) return `element ${id} is missing`;
    if (found.elements.get(id) !== value) return `element ${id} leads elsewhere`;
  }
  for (const name of found.chains.keys()) {
    if (!wanted.chains.has(name)) return `chain ${name} is not ours`;
  }
  for (const id of found.elements.keys()) {
    if (!wanted.elements.has(id)) return `element ${id} is not ours`;
  }
  return undefined;
}
