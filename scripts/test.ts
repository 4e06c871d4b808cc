/**
 * Every test, fast tiers first: the gate, then what needs namespaces or Docker, then the end-to-end files, each of
 * which starts its own lab under its own name. `scripts/test --e2e` runs only the latter, `scripts/test <word>` only files whose path has the word.
 */

import { spawn } from 'node:child_process';
import { findTests, runTests, tierOf } from './lib/run-tests.ts';

const HELP = `scripts/test [--e2e] [word...]
  runs npm run check, then the end-to-end tests
  --e2e   only the end-to-end tests
  word    only test files whose path contains one of the words (and no check)`;

const SYSTEM_DEADLINE_MS = 5 * 60_000;
const E2E_DEADLINE_MS = 15 * 60_000;
const root = new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(HELP);
  process.exit(0);
}
const words = args.filter((arg) => !arg.startsWith('--'));
const onlyE2e = args.includes('--e2e');

/** Runs the gate and reads its closing line. */
function check(): Promise<{ passed: number; failed: number }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [`${root}/scripts/check.ts`], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      process.stdout.write(chunk);
    });
    child.once('close', (code) => {
      const closing = /(\d+) passed, (\d+) failed(?:, \d+ skipped)?\s*$/.exec(output);
      const failed = Number(closing?.[2] ?? 1);
      resolve({
        passed: Number(closing?.[1] ?? 0),
        failed: code === 0 ? failed : Math.max(1, failed),
      });
    });
  });
}

const total = { passed: 0, failed: 0, skipped: 0 };
const add = (part: { passed: number; failed: number; skipped?: number }) => {
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped ?? 0;
};

const chosen = (await findTests(`${root}/test`)).filter(
  (file) => words.length === 0 || words.some((word) => file.includes(word)),
);
const ofTier = (tier: ReturnType<typeof tierOf>) => chosen.filter((file) => tierOf(file) === tier);

/** Runs the files of one tier under a heading. */
async function run(
  heading: string,
  files: readonly string[],
  options: { jobs?: number; deadlineMs?: number } = {},
): Promise<void> {
  if (files.length === 0) return;
  console.log(`== ${heading} (${files.length} files)`);
  add(await runTests(files, { root, ...options }));
}

if (!onlyE2e) {
  if (words.length === 0) add(await check());
  else await run('unit', ofTier('unit'));
  await run('system', ofTier('system'), { deadlineMs: SYSTEM_DEADLINE_MS });
}
// One at a time: the labs measure time on the machine's two cores.
await run('end to end', ofTier('e2e'), { jobs: 1, deadlineMs: E2E_DEADLINE_MS });
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed === 0 ? 0 : 1;
