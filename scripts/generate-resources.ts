/**
 * Writes src/resources/generated: TypeScript types, the run-time schema and the field descriptions of the
 * API types this release serves. Models come from the installed `@kubernetes/client-node`; what that package does not
 * know (merge keys, list types, quantities) comes from the committed facts table next to the output.
 *
 *   node scripts/generate-resources.ts                      regenerate from package and table
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

const { values } = parseArgs({ options: { facts: { type: 'string' } } });
if (values.facts !== undefined) {
  writeFileSync(
    factsFile,
    renderJson(extractFacts(JSON.parse(readFileSync(values.facts, 'utf8')))),
  );
}
const facts: FactsTable = JSON.parse(readFileSync(factsFile, 'utf8'));

const reader = new ModelReader(facts);
const { schema, descriptions } = await buildSchema(reader, facts, ROOTS);
const typesText = renderTypes(schema, KIND_MAP);
addLegacyTypes(schema, descriptions);

writeFileSync(new URL('kinds.ts', output), typesText);
writeFileSync(new URL('schema.generated.json', output), renderJson(schema));
writeFileSync(new URL('descriptions.generated.json', output), renderJson(descriptions));

const biome = new URL('../node_modules/.bin/biome', import.meta.url).pathname;
execFileSync(biome, ['format', '--write', new URL('kinds.ts', output).pathname], {
  stdio: 'inherit',
});
