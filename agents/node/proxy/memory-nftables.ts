/**
 * The twin of libnftables in memory: takes the commands that the proxy uses, as one transaction, with the refusals of the
 * kernel, and lists what holds. It passes the same conformance suite as the real one. Rules are kept as text; what they
 * mean is the kernel's affair.
 */

import { SkeinError } from '../../../src/lib/errors.ts';
import type { Nftables, NftListing, NftObject } from './ports.ts';

type SetState = {
  readonly isMap: boolean;
  readonly definition: string;
  /** Key to value; an empty value for elements of sets. */
  readonly elements: Map<string, string>;
};
type ChainState = { readonly base: string; readonly rules: string[] };
type Table = { readonly sets: Map<string, SetState>; readonly chains: Map<string, ChainState> };
type Tables = Map<string, Table>;

/** Nftables in memory. */
export class MemoryNftables implements Nftables {
  #tables: Tables = new Map();
  /** Transactions taken so far. */
  transactions = 0;

  async run(script: string): Promise<void> {
    const draft = copy(this.#tables);
    for (const line of statements(script)) execute(draft, line);
    checkReferences(draft);
    this.#tables = draft;
    this.transactions++;
  }

  async list(what: string): Promise<NftListing> {
    const words = what.split(' ');
    if (what === 'chains') {
      const objects = [...this.#tables].flatMap(([id, table]) => chainObjects(id, table));
      return { nftables: objects };
    }
    if (words[0] === 'table' && words.length === 3) {
      const id = `${words[1]} ${words[2]}`;
      return { nftables: tableObjects(id, tableOf(this.#tables, id)) };
    }
    if (words[0] === 'chain' && words.length === 4) {
      const id = `${words[1]} ${words[2]}`;
      const table = tableOf(this.#tables, id);
      chainOf(table, words[3] ?? '');
      const one = new Map([...table.chains].filter(([name]) => name === words[3]));
      return { nftables: tableObjects(id, { sets: new Map(), chains: one }) };
    }
    throw refused(`the twin does not list ${what}`);
  }

  /** Everything that holds, rules as written: for comparing two tables in tests. */
  dump(): unknown {
    const sorted = <T>(map: ReadonlyMap<string, T>) =>
      [...map].sort(([one], [other]) => (one < other ? -1 : 1));
    return sorted(this.#tables).map(([id, { sets, chains }]) => ({
      id,
      sets: sorted(sets).map(([name, { elements, ...set }]) => [name, set, sorted(elements)]),
      chains: sorted(chains),
    }));
  }
}

function copy(tables: Tables): Tables {
  const copied: Tables = new Map();
  for (const [id, { sets, chains }] of tables) {
    copied.set(id, {
      sets: new Map([...sets].map(([n, s]) => [n, { ...s, elements: new Map(s.elements) }])),
      chains: new Map([...chains].map(([n, c]) => [n, { ...c, rules: [...c.rules] }])),
    });
  }
  return copied;
}

/** Commands of a script: a line each, or divided by semicolons outside of braces and quotes. */
function statements(script: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let quoted = false;
  let current = '';
  for (const character of `${script}\n`) {
    if (character === '"') quoted = !quoted;
    else if (character === '{') depth++;
    else if (character === '}') depth--;
    const ends = !quoted && depth === 0 && (character === ';' || character === '\n');
    if (!ends) current += character;
    else if (current.trim() !== '') found.push(current.trim());
    if (ends) current = '';
  }
  return found;
}

type Groups = readonly (string | undefined)[];

/** What can be commanded: the form of a line, and what it does with the parts of the form. */
const COMMANDS: readonly {
  readonly form: RegExp;
  readonly apply: (tables: Tables, groups: Groups) => void;
}[] = [
  {
    form: /^(add|delete) table (\S+ \S+)$/,
    apply: (tables, [, verb, id = '']) => tableCommand(tables, verb, id),
  },
  {
    form: /^(add|delete) (set|map) (\S+ \S+) (\S+)(?: (\{.*\}))?$/,
    apply: (tables, [, verb, kind, id = '', name = '', definition = '']) =>
      setCommand(tableOf(tables, id), { verb, isMap: kind === 'map', name, definition }),
  },
  {
    form: /^(add|delete|flush) chain (\S+ \S+) (\S+)(?: (\{.*\}))?$/,
    apply: (tables, [, verb, id = '', name = '', base = '']) =>
      chainCommand(tableOf(tables, id), { verb, name, base }),
  },
  {
    form: /^(add|insert) rule (\S+ \S+) (\S+) (.+)$/,
    apply: (tables, [, verb, id = '', name = '', rule = '']) => {
      const { rules } = chainOf(tableOf(tables, id), name);
      rules.splice(verb === 'insert' ? 0 : rules.length, 0, rule);
    },
  },
  {
    form: /^(add|delete) element (\S+ \S+) (\S+) \{ ([^:]+?)(?: : (.+?))? \}$/,
    apply: (tables, [, verb, id = '', name = '', key = '', value = '']) =>
      elementCommand(tableOf(tables, id), { verb, name, key: key.trim(), value }),
  },
];

function execute(tables: Tables, line: string): void {
  for (const { form, apply } of COMMANDS) {
    const groups = form.exec(line);
    if (!groups) continue;
    apply(tables, groups);
    return;
  }
  throw refused(`syntax error: ${line}`);
}

function tableCommand(tables: Tables, verb: string | undefined, id: string): void {
  if (verb === 'add') {
    if (!tables.has(id)) tables.set(id, { sets: new Map(), chains: new Map() });
  } else if (!tables.delete(id)) throw missing(`table ${id}`);
}

type SetCommand = {
  readonly verb: string | undefined;
  readonly isMap: boolean;
  readonly name: string;
  readonly definition: string;
};

function setCommand({ sets }: Table, { verb, isMap, name, definition }: SetCommand): void {
  if (verb === 'delete') {
    if (!sets.delete(name)) throw missing(`set ${name}`);
  } else if (!sets.has(name)) sets.set(name, { isMap, definition, elements: new Map() });
}

type ChainCommand = {
  readonly verb: string | undefined;
  readonly name: string;
  readonly base: string;
};

function chainCommand(table: Table, { verb, name, base }: ChainCommand): void {
  if (verb === 'flush') chainOf(table, name).rules.length = 0;
  else if (verb === 'delete') {
    if (!table.chains.delete(name)) throw missing(`chain ${name}`);
  } else if (!table.chains.has(name)) table.chains.set(name, { base, rules: [] });
}

type ElementCommand = {
  readonly verb: string | undefined;
  readonly name: string;
  readonly key: string;
  readonly value: string;
};

function elementCommand(table: Table, { verb, name, key, value }: ElementCommand): void {
  const set = table.sets.get(name);
  if (!set) throw missing(`set ${name}`);
  if (verb === 'delete') {
    if (!set.elements.delete(key)) throw missing(`element ${key} of ${name}`);
    return;
  }
  const there = set.elements.get(key);
  if (there !== undefined && there !== value) throw refused(`File exists: element ${key}`);
  // A verdict must lead somewhere at the moment it is added.
  for (const target of targetsIn(value)) chainOf(table, target);
  set.elements.set(key, value);
}

function tableOf(tables: Tables, id: string): Table {
  const table = tables.get(id);
  if (!table) throw missing(`table ${id}`);
  return table;
}

function chainOf(table: Table, name: string): ChainState {
  const chain = table.chains.get(name);
  if (!chain) throw missing(`chain ${name}`);
  return chain;
}

const targetsIn = (text: string): string[] =>
  [...text.matchAll(/\b(?:goto|jump) ([A-Za-z][\w/.-]*)/g)].map(([, name = '']) => name);
const setsIn = (text: string): string[] =>
  [...text.matchAll(/@([A-Za-z][\w/.-]*)/g)].map(([, name = '']) => name);

/** What is referred to must be there when the transaction ends: it cannot be deleted under its users. */
function checkReferences(tables: Tables): void {
  for (const table of tables.values()) {
    const texts = [
      ...[...table.chains.values()].flatMap(({ rules }) => rules),
      ...[...table.sets.values()].flatMap(({ elements }) => [...elements.values()]),
    ];
    for (const text of texts) {
      for (const name of targetsIn(text)) {
        if (!table.chains.has(name)) throw refused(`Device or resource busy: chain ${name}`);
      }
      for (const name of setsIn(text)) {
        if (!table.sets.has(name)) throw refused(`Device or resource busy: set ${name}`);
      }
    }
  }
}

function chainObjects(id: string, { chains }: Table): NftObject[] {
  const [family = '', table = ''] = id.split(' ');
  return [...chains].map(([name, { base }]) => {
    const hook = /\bhook (\S+)/.exec(base)?.[1];
    const policy = /\bpolicy (\w+)/.exec(base)?.[1] ?? 'accept';
    return { chain: { family, table, name, ...(hook === undefined ? {} : { hook, policy }) } };
  });
}

function tableObjects(id: string, table: Table): NftObject[] {
  const [family = '', name = ''] = id.split(' ');
  const objects: NftObject[] = [{ table: { family, name } }];
  for (const [set, { isMap, elements }] of table.sets) {
    const elem = [...elements].map(([key, value]) =>
      isMap ? [keyObject(key), keyObject(value)] : keyObject(key),
    );
    const body = { family, table: name, name: set, ...(elem.length > 0 ? { elem } : {}) };
    objects.push(isMap ? { map: body } : { set: body });
  }
  objects.push(...chainObjects(id, table));
  for (const [chain, { rules }] of table.chains) {
    for (const rule of rules) objects.push(ruleObject({ family, table: name, chain }, rule));
  }
  return objects;
}

function ruleObject(place: Readonly<Record<string, string>>, text: string): NftObject {
  const comment = /\bcomment "([^"]*)"/.exec(text)?.[1];
  return { rule: { ...place, ...(comment === undefined ? {} : { comment }), expr: [text] } };
}

function keyObject(text: string): unknown {
  const [, target] = /^goto (\S+)$/.exec(text) ?? [];
  if (target !== undefined) return { goto: { target } };
  return { concat: text.split(' . ').map((part) => (/^\d+$/.test(part) ? Number(part) : part)) };
}

function refused(said: string): SkeinError {
  return new SkeinError('network-failed', `nftables refused a transaction: ${said}`, {
    retryable: true,
  });
}

const missing = (what: string): SkeinError => refused(`No such file or directory: ${what}`);
