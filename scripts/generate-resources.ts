/**
 * Writes src/resources/generated: TypeScript types, the run-time schema and the field descriptions of the
 * API types this release serves. Models come from the installed `@kubernetes/client-node`; what that package does not
 * know (merge keys, list types, quantities) comes from the committed facts table next to the output.
 *
 *   node scripts/generate-resources.ts                      regenerate from package and table
 *   node scripts/generate-resources.ts --check              write nothing; fail if a file is not current
 *   node scripts/generate-resources.ts --facts <types.json> first rebuild the table from a dump of the API's types
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { extractFacts, type FactsTable } from './resource-generator/facts.ts';
import { addLegacyTypes } from './resource-generator/legacy.ts';
import { ModelReader } from './resource-generator/models.ts';
import { KIND_MAP, ROOTS } from './resource-generator/roots.ts';
import { buildSchema, renderJson } from './resource-generator/schema.ts';
import { renderTypes } from './resource-generator/types.ts';

const output = new URL('../src/resources/generated/', import.meta.url);
const factsFile = new URL('facts.generated.json', output);

const { values } = parseArgs({
  options: { facts: { type: 'string' }, check: { type: 'boolean' } },
});
if (values.facts !== undefined) {
  writeFileSync(
    factsFile,
    renderJson(extractFacts(JSON.parse(readFileSync(values.facts, 'utf8')))),
  );
}
const files = await render(JSON.parse(readFileSync(factsFile, 'utf8')));
const stale = Object.entries(files).filter(([name, text]) => present(name) !== text);
for (const [name, text] of stale) {
  if (values.check === true)
    console.error(`${name} is not current: run scripts/generate-resources.ts`);
  else writeFileSync(new URL(name, output), text);
}
if (values.check === true && stale.length > 0) process.exitCode = 1;

/** The generated files' texts by name. */
async function render(facts: FactsTable): Promise<Record<string, string>> {
  const { schema, descriptions } = await buildSchema(new ModelReader(facts), facts, ROOTS);
  const types = formatted(renderTypes(schema, KIND_MAP));
  addLegacyTypes(schema, descriptions);
  return {
    'kinds.ts': types,
    'schema.generated.json': renderJson(schema),
    'descriptions.generated.json': renderJson(descriptions),
  };
}

function formatted(text: string): string {
  const biome = new URL('../node_modules/.bin/biome', import.meta.url).pathname;
  return execFileSync(biome, ['format', '--stdin-file-path=src/resources/kinds.ts'], {
    input: text,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

function present(name: string): string {
  try {
    return readFileSync(new URL(name, output), 'utf8');
  } catch {
    return '';
  }
}
