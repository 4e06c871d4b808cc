/**
 * The difference between the rules in place and the rules wanted, as one ordered list of commands that
 * nftables takes in one transaction: packets see the old table or the new one, nothing between. Pure.
 */

import type { ObservedTable } from './observed.ts';
import { type Fragment, type MapName, type NftChain, TABLE } from './ruleset.ts';

export type NftCommand =
  | { readonly op: 'add-set'; readonly name: string; readonly definition: string }
  | { readonly op: 'delete-set'; readonly name: string }
  | { readonly op: 'add-chain' | 'flush-chain' | 'delete-chain'; readonly name: string }
  | { readonly op: 'add-rule'; readonly chain: string; readonly rule: string }
  | {
      readonly op: 'add-element' | 'delete-element';
      readonly map: MapName;
      readonly key: string;
      readonly value?: string;
    };

const EMPTY: Fragment = { sets: [], chains: [], elements: [] };

type HeldElement = {
  readonly map: MapName;
  readonly key: string;
  /** By owner. Where two want the same key for different ends (an external address, say), the first in order of names has it. */
  readonly values: Map<string, string | undefined>;
};

/** What is in place, by owner. Elements may be wanted by several owners (a pod behind two services). */
export class Ruleset {
  readonly #fragments = new Map<string, Fragment>();
  readonly #elements = new Map<string, HeldElement>();

  /** What a listing of the table should show, besides the base's chains and sets. */
  observed(): ObservedTable {
    const chains = new Map<string, number>();
    const sets = new Set<string>();
    for (const fragment of this.#fragments.values()) {
      for (const { name, rules } of fragment.chains) chains.set(name, rules.length);
      for (const { name } of fragment.sets) sets.add(name);
    }
    const elements = new Map<string, string | undefined>();
    for (const [id, held] of this.#elements) elements.set(id, effectiveValue(held));
    return { chains, sets, elements };
  }

  /** Every command that builds what is in place on a fresh base table. */
  rebuild(): NftCommand[] {
    const commands: NftCommand[] = [];
    const fragments = [...this.#fragments.values()];
    for (const { sets } of fragments)
      for (const set of sets) commands.push({ op: 'add-set', ...set });
    const chains = fragments.flatMap((fragment) => fragment.chains);
    for (const { name } of chains) commands.push({ op: 'add-chain', name });
    for (const chain of chains) commands.push(...rulesOf(chain));
    for (const held of this.#elements.values()) commands.push(elementCommand('add-element', held));
    return commands;
  }

  /** Makes `changes` (owner to fragment; undefined removes) the state and returns the commands for it. */
  change(changes: ReadonlyMap<string, Fragment | undefined>): NftCommand[] {
    const removals: NftCommand[] = [];
    const additions: NftCommand[] = [];
    const rules: NftCommand[] = [];
    const inserts: NftCommand[] = [];
    const flushes: NftCommand[] = [];
    const deletions: NftCommand[] = [];
    const touched = new Map<string, HeldElement | undefined>();
    for (const [owner, next] of changes) {
      const before = this.#fragments.get(owner) ?? EMPTY;
      const after = next ?? EMPTY;
      if (next) this.#fragments.set(owner, next);
      else this.#fragments.delete(owner);
      this.#changeElements(owner, before, after, touched);
      const oldChains = new Map(before.chains.map((chain) => [chain.name, chain]));
      const newNames = new Set(after.chains.map(({ name }) => name));
      const oldSets = new Set(before.sets.map(({ name }) => name));
      const newSets = new Set(after.sets.map(({ name }) => name));
      for (const set of after.sets) {
        if (!oldSets.has(set.name)) additions.push({ op: 'add-set', ...set });
      }
      for (const chain of after.chains) {
        const old = oldChains.get(chain.name);
        if (!old) additions.push({ op: 'add-chain', name: chain.name });
        else if (sameRules(old, chain)) continue;
        else rules.push({ op: 'flush-chain', name: chain.name });
        rules.push(...rulesOf(chain));
      }
      for (const { name } of before.chains) {
        if (newNames.has(name)) continue;
        flushes.push({ op: 'flush-chain', name });
        deletions.push({ op: 'delete-chain', name });
      }
      for (const { name } of before.sets) {
        if (!newSets.has(name)) deletions.push({ op: 'delete-set', name });
      }
    }
    for (const [id, before] of touched) {
      const now = this.#elements.get(id);
      if (before && now && effectiveValue(before) === effectiveValue(now)) continue;
      if (before) removals.push(elementCommand('delete-element', before));
      if (now) inserts.push(elementCommand('add-element', now));
    }
    return [...removals, ...additions, ...rules, ...inserts, ...flushes, ...deletions];
  }

  #changeElements(
    owner: string,
    before: Fragment,
    after: Fragment,
    touched: Map<string, HeldElement | undefined>,
  ): void {
    const remember = (id: string) => {
      if (touched.has(id)) return;
      const held = this.#elements.get(id);
      touched.set(id, held ? { ...held, values: new Map(held.values) } : undefined);
    };
    for (const { map, key } of before.elements) {
      const id = `${map} ${key}`;
      remember(id);
      const held = this.#elements.get(id);
      held?.values.delete(owner);
      if (held?.values.size === 0) this.#elements.delete(id);
    }
    for (const { map, key, value } of after.elements) {
      const id = `${map} ${key}`;
      remember(id);
      const held = this.#elements.get(id) ?? { map, key, values: new Map() };
      held.values.set(owner, value);
      this.#elements.set(id, held);
    }
  }
}

/** The same whatever happened before: a rebuild, and another process, come to the same table. */
function effectiveValue({ values }: HeldElement): string | undefined {
  let [winner = ''] = values.keys();
  for (const owner of values.keys()) if (owner < winner) winner = owner;
  return values.get(winner);
}

function elementCommand(op: 'add-element' | 'delete-element', held: HeldElement): NftCommand {
  const value = op === 'add-element' ? effectiveValue(held) : undefined;
  return { op, map: held.map, key: held.key, ...(value === undefined ? {} : { value }) };
}

const sameRules = (a: NftChain, b: NftChain): boolean =>
  a.rules.length === b.rules.length && a.rules.every((rule, index) => rule === b.rules[index]);

const rulesOf = ({ name, rules }: NftChain): NftCommand[] =>
  rules.map((rule) => ({ op: 'add-rule', chain: name, rule }));

/** The commands in nft(8)'s language. */
export function renderCommands(commands: readonly NftCommand[]): string {
  return commands.map(renderCommand).join('\n');
}

function renderCommand(command: NftCommand): string {
  switch (command.op) {
    case 'add-set':
      return `add set ip ${TABLE} ${quote(command.name)} ${command.definition}`;
    case 'delete-set':
      return `delete set ip ${TABLE} ${quote(command.name)}`;
    case 'add-chain':
      return `add chain ip ${TABLE} ${quote(command.name)}`;
    case 'flush-chain':
      return `flush chain ip ${TABLE} ${quote(command.name)}`;
    case 'delete-chain':
      return `delete chain ip ${TABLE} ${quote(command.name)}`;
    case 'add-rule':
      return `add rule ip ${TABLE} ${quote(command.chain)} ${command.rule}`;
    case 'add-element':
    case 'delete-element': {
      const verb = command.op === 'add-element' ? 'add' : 'delete';
      const value = command.value === undefined ? '' : ` : ${command.value}`;
      return `${verb} element ip ${TABLE} ${command.map} { ${command.key}${value} }`;
    }
  }
}

/** Identifiers of nft allow letters, digits and / \ _ . - only; ids are made of nothing else. */
function quote(name: string): string {
  if (/^[A-Za-z][\w/.-]*$/.test(name)) return name;
  throw new RangeError(`"${name}" cannot name a chain or a set`);
}
