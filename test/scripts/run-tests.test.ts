import { mkdir, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { findTests, runTests, tierOf } from '../../scripts/lib/run-tests.ts';

/** Runs one file of the given text and answers the tally and what was printed. */
async function run(t: Test, text: string, deadlineMs = 10_000) {
  const root = t.testdir();
  await writeFile(`${root}/one.test.mjs`, text);
  const lines: string[] = [];
  const tally = await runTests([`${root}/one.test.mjs`], {
    root,
    deadlineMs,
    print: (line) => lines.push(line),
  });
  return { tally, text: lines.join('\n') };
}

const tap = (...lines: string[]) =>
  lines.map((line) => `console.log(${JSON.stringify(line)});`).join('\n');

t.test('run-tests: a test counts once, whatever it asserts', async (t) => {
  const { tally, text } = await run(
    t,
    tap(
      'TAP version 14',
      '# Subtest: a',
      '    ok 1 - x',
      '    ok 2 - y',
      '    1..2',
      'ok 1 - a',
      '1..1',
    ),
  );
  t.strictSame(tally, { passed: 1, failed: 0, skipped: 0 });
  t.match(text, /ok +one\.test\.mjs \(1 passed/);
});

t.test('run-tests: a failure is shown with its diagnostics; what passed is not', async (t) => {
  const { tally, text } = await run(
    t,
    tap(
      'TAP version 14',
      'ok 1 - fine',
      'not ok 2 - broken',
      '  ---',
      '  found: 3',
      '  ...',
      '1..2',
    ),
  );
  t.strictSame(tally, { passed: 1, failed: 1, skipped: 0 });
  t.match(text, /not ok 2 - broken[\s\S]*found: 3/);
  t.notMatch(text, /ok 1 - fine/);
});

t.test('run-tests: what claims nothing has failed', async (t) => {
  for (const text of ['', tap('TAP version 14', '1..0'), "console.log('hello')"]) {
    t.ok((await run(t, text)).tally.failed > 0, text);
  }
});

t.test(
  'run-tests: a file that dies or breaks off has failed, whatever it said before',
  async (t) => {
    const said = tap('TAP version 14', 'ok 1 - fine', '1..1');
    for (const end of [
      'process.exit(3)',
      "process.kill(process.pid, 'SIGKILL')",
      "throw new Error('x')",
    ]) {
      const { tally } = await run(t, `${said}\n${end}`);
      t.strictSame(tally, { passed: 1, failed: 1, skipped: 0 }, end);
    }
    const broken = await run(t, tap('TAP version 14', '1..3', 'ok 1 - fine'));
    t.ok(broken.tally.failed > 0, 'two that never came');
  },
);

t.test('run-tests: a file that hangs is told to end, so that it can clean up', async (t) => {
  const text = `${tap('TAP version 14', 'ok 1 - fine')}
    process.on('SIGTERM', () => { console.log('1..1'); process.exit(1); });
    setInterval(() => {}, 1000);`;
  const { tally, text: shown } = await run(t, text, 300);
  t.strictSame(tally, { passed: 1, failed: 1, skipped: 0 });
  t.match(shown, /exit: 1/);
});

t.test('run-tests: a program that a file leaves behind is not waited for', async (t) => {
  const text = `import { spawn } from 'node:child_process';
    spawn('sleep', ['10'], { stdio: 'inherit', detached: true }).unref();
    ${tap('TAP version 14', 'ok 1 - fine', '1..1')}
    process.exit(0);`;
  const started = performance.now();
  const { tally } = await run(t, text);
  t.strictSame(tally, { passed: 1, failed: 0, skipped: 0 });
  t.ok(performance.now() - started < 8_000);
});

t.test('run-tests: files are found by their ending, and belong to a tier', async (t) => {
  const root = t.testdir();
  await mkdir(`${root}/deep/er`, { recursive: true });
  for (const file of ['b.test.ts', 'deep/er/a.test.ts', 'deep/helper.ts', 'c.system.test.ts']) {
    await writeFile(`${root}/${file}`, '');
  }
  t.strictSame(
    (await findTests(root)).map((file) => file.slice(root.length + 1)),
    ['b.test.ts', 'c.system.test.ts', 'deep/er/a.test.ts'],
  );
  t.strictSame(await findTests(`${root}/none`), []);
  t.equal(tierOf('/r/test/node/config.test.ts'), 'unit');
  t.equal(tierOf('/r/test/node/start.system.test.ts'), 'system');
  t.equal(tierOf('/r/test/e2e/lab.test.ts'), 'e2e');
});
