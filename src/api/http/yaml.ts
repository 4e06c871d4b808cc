/** YAML into values. Pure, so that it runs in this thread or in another (yaml-thread.ts). */

import { type Document, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { messageOf } from '../../lib/errors.ts';
import { DUPLICATES_MAX } from './duplicate-keys.ts';

export type YamlOutcome =
  | {
      readonly kind: 'value';
      readonly value: unknown;
      /** Where keys stand twice in one mapping: `line 3`. */
      readonly duplicates: readonly string[];
    }
  | { readonly kind: 'failed'; readonly why: string };

/** Alias expansions in a YAML body beyond this are taken for an attack. */
const YAML_ALIASES_MAX = 100;

/** The value of the one document in `text`. Never throws. */
export function parseYaml(text: string): YamlOutcome {
  const lines = new LineCounter();
  try {
    // The library's own search for duplicates compares each key with each.
    const document = parseDocument(text, {
      uniqueKeys: false,
      lineCounter: lines,
      logLevel: 'silent',
    });
    const [error] = document.errors;
    if (error !== undefined) {
      return { kind: 'failed', why: `error converting YAML to JSON: ${error.message}` };
    }
    const value: unknown = document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
    return { kind: 'value', value, duplicates: duplicateYamlKeys(document, lines) };
  } catch (error) {
    return { kind: 'failed', why: messageOf(error) };
  }
}

function duplicateYamlKeys(document: Document, lines: LineCounter): readonly string[] {
  const found: string[] = [];
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value) && found.length < DUPLICATES_MAX) {
          found.push(`line ${lines.linePos(key.range?.[0] ?? 0).line}`);
        }
        seen.add(key.value);
      }
    },
  });
  return found;
}
