/**
 * `node test/raft/behaviours/take-out.ts [number...]`: takes each behaviour out of the code and reports whether the test
 * that guards it fails. Exit code 1 if one does not.
 */

import { behaviours } from './table.ts';
import { Copy } from './taken-out.ts';

const numbers = process.argv.slice(2).map(Number);
const copy = await Copy.make();
let missed = 0;
try {
  for (const { number, name, guards } of behaviours) {
    if (numbers.length > 0 && !numbers.includes(number)) continue;
    console.log(`${number}. ${name}`);
    for (const guard of guards) {
      const seen = await copy.misses(guard).catch((error: unknown) => String(error));
      if (seen !== true) missed++;
      const verdict = seen === true ? 'seen' : seen === false ? 'NOT SEEN' : seen;
      console.log(`   ${verdict}: ${guard.file} "${guard.test}"`);
    }
  }
} finally {
  await copy.remove();
}
console.log(missed === 0 ? 'all are seen' : `${missed} are not seen`);
process.exitCode = missed === 0 ? 0 : 1;
