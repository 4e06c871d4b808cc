/**
 * Writes src/api/protobuf/messages.generated.json: field names, numbers and types of the API's protobuf messages, one message a
 * line. The source is a dump of the published message definitions.
 *
 *   node scripts/generate-protobuf.ts <protobuf.json>
 */
import { readFileSync, writeFileSync } from 'node:fs';

type Dump = Record<string, { readonly fields: Record<string, readonly [number, string]> }>;

/** Messages that no client ever sends to an API server of ours. */
const LEFT_OUT = /\.(example\d?|testapigroup|audit|auditregistration|imagepolicy|admission)\.v/;

/** Where the name in JSON is not the message's own. */
const JSON_NAMES: Readonly<Record<string, string>> = { uID: 'uid' };

const [source] = process.argv.slice(2);
if (source === undefined)
  throw new Error('usage: node scripts/generate-protobuf.ts <protobuf.json>');
const dump: Dump = JSON.parse(readFileSync(source, 'utf8'));
const lines = Object.entries(dump)
  .filter(([name]) => !LEFT_OUT.test(name))
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, { fields }]) => {
    const texts = Object.entries(fields)
      .sort(([, [a]], [, [b]]) => a - b)
      .map(
        ([field, [number, type]]) =>
          `${number} ${JSON_NAMES[field] ?? field} ${type.replace('repeated ', '*')}`,
      );
    return `${JSON.stringify(name)}:${JSON.stringify(texts.join('|'))}`;
  });
const output = new URL('../src/api/protobuf/messages.generated.json', import.meta.url);
writeFileSync(output, `{\n${lines.join(',\n')}\n}\n`);
