/**
 * The facts that the client's models lack, per API type: group-version-kinds, merge strategy and key, list type
 * and keys, atomic maps, and which strings are quantities. Extracted once from a dump of the published API; kept as a table.
 */

/** Facts of one field; absent means default. */
export type FieldFacts = {
  patch?: string;
  mergeKey?: string;
  list?: string;
  listKeys?: string[];
  map?: string;
  /** The field, its items or its values are resource quantities. */
  quantity?: true;
};

export type TypeFacts = {
  gvk?: { group: string; version: string; kind: string }[];
  map?: string;
  fields?: Record<string, FieldFacts>;
};

export type FactsTable = Record<string, TypeFacts>;

type DumpedField = {
  ref?: string;
  items?: { ref?: string };
  values?: { ref?: string };
} & Omit<FieldFacts, 'quantity'>;

type DumpedType = {
  gvk?: { group: string; version: string; kind: string }[];
  map?: string;
  fields?: Record<string, DumpedField>;
};

const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';

/** Reduces a dump (type name to fields) to the facts table. Types without facts keep an empty entry: the table also lists all names. */
export function extractFacts(dump: Record<string, DumpedType>): FactsTable {
  const table: FactsTable = {};
  for (const [name, type] of Object.entries(dump)) {
    const facts: TypeFacts = {};
    if (type.gvk !== undefined) {
      facts.gvk = type.gvk.map(({ group, version, kind }) => ({ group, version, kind }));
    }
    if (type.map !== undefined) facts.map = type.map;
    const fields: Record<string, FieldFacts> = {};
    for (const [field, dumped] of Object.entries(type.fields ?? {})) {
      const kept = fieldFacts(dumped);
      if (Object.keys(kept).length > 0) fields[field] = kept;
    }
    if (Object.keys(fields).length > 0) facts.fields = fields;
    table[name] = facts;
  }
  return table;
}

function fieldFacts(dumped: DumpedField): FieldFacts {
  const facts: FieldFacts = {};
  if (dumped.patch !== undefined) facts.patch = dumped.patch;
  if (dumped.mergeKey !== undefined) facts.mergeKey = dumped.mergeKey;
  if (dumped.list !== undefined) facts.list = dumped.list;
  if (dumped.listKeys !== undefined) facts.listKeys = dumped.listKeys;
  if (dumped.map !== undefined) facts.map = dumped.map;
  const refs = [dumped.ref, dumped.items?.ref, dumped.values?.ref];
  if (refs.includes(QUANTITY)) facts.quantity = true;
  return facts;
}
