/**
 * Runs tap test files as they are, each in a process of the pinned Node with type stripping: tap's own
 * runner adds three seconds of start-up per run and a transpiling loader; this way a file costs a
 * quarter of a second. Output is read with tap's parser; failures are shown, successes counted.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { Parser } from 'tap-parser';

export type TestRunOptions = {
  readonly root: string;
  /** Files run at once. Default 2. */
  readonly jobs?: number;
  /** A file that runs longer is killed and counts as failed. Default 120 s. */
  readonly deadlineMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Where lines for people go. Default: standard output. */
  readonly print?: (line: string) => void;
};

export type TestTally = { passed: number; failed: number; skipped: number };

type FileOutcome = TestTally & { readonly report: string; readonly seconds: number };

const OUTPUT_KEPT_BYTES = 200_000;
/** Between SIGTERM, which lets a test clean up, and SIGKILL. */
const KILL_GRACE_MS = 20_000;
/** For output that is on its way when a file's process has ended. */
const OUTPUT_GRACE_MS = 1_000;

/** Test files (`*.test.ts`) below `folder`, sorted. */
export async function findTests(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/**
 * Which tier a test file belongs to. `unit`: pure or in one process, part of the gate. `system`
 * (`*.system.test.ts`): needs root, namespaces or a Docker daemon. `e2e`: a lab with real hosts.
 */
export function tierOf(file: string): 'unit' | 'system' | 'e2e' {
  if (file.includes('/e2e/')) return 'e2e';
  return file.endsWith('.system.test.ts') ? 'system' : 'unit';
}

/** Runs `files` and prints one line each, then what failed in full. */
export async function runTests(
  files: readonly string[],
  options: TestRunOptions,
): Promise<TestTally> {
  const tally: TestTally = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...files];
  const { print = (line: string) => console.log(line) } = options;
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const outcome = await runFile(file, options);
      tally.passed += outcome.passed;
      tally.failed += outcome.failed;
      tally.skipped += outcome.skipped;
      const mark = outcome.failed === 0 ? 'ok  ' : 'FAIL';
      const name = relative(options.root, file);
      print(`  ${mark} ${name} (${outcome.passed} passed, ${outcome.seconds.toFixed(1)} s)`);
      if (outcome.failed > 0) print(outcome.report);
    }
  };
  await Promise.all(Array.from({ length: options.jobs ?? 2 }, worker));
  return tally;
}

async function runFile(file: string, options: TestRunOptions): Promise<FileOutcome> {
  const { root, deadlineMs = 120_000, env } = options;
  const started = performance.now();
  const child = spawn(process.execPath, [file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const parser = new Parser();
  const tally: TestTally = { passed: 0, failed: 0, skipped: 0 };
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_KEPT_BYTES);
  };
  parser.on('assert', (point) => {
    if (point.skip) tally.skipped++;
    else if (point.ok) tally.passed++;
    else tally.failed++;
  });
  const parsed = new Promise<boolean>((resolve) => parser.on('complete', ({ ok }) => resolve(ok)));
  child.stdout.on('data', (chunk: Buffer) => {
    keep(chunk);
    parser.write(chunk);
  });
  child.stderr.on('data', keep);
  const soft = setTimeout(() => child.kill('SIGTERM'), deadlineMs);
  const hard = setTimeout(() => child.kill('SIGKILL'), deadlineMs + KILL_GRACE_MS);
  const code = await endOf(child);
  clearTimeout(soft);
  clearTimeout(hard);
  parser.end();
  const whole = await parsed;
  // A file that dies, breaks off or claims nothing has failed whatever it printed before.
  if ((code !== 0 || !whole) && tally.failed === 0) tally.failed++;
  if (tally.passed + tally.failed + tally.skipped === 0) tally.failed++;
  const seconds = (performance.now() - started) / 1000;
  return { ...tally, seconds, report: `${failuresOf(output)}\n    (exit: ${code})` };
}

/** The exit code, or the signal, once the output is complete; a program left behind may hold it open and is not waited for. */
async function endOf(child: ChildProcess): Promise<number | string> {
  const closed = new Promise((resolve) => child.once('close', resolve));
  const code = await new Promise<number | string>((resolve) => {
    child.once('exit', (status, signal) => resolve(signal ?? status ?? 1));
    child.once('error', (error) => resolve(error.message));
  });
  const late = new Promise((resolve) => setTimeout(resolve, OUTPUT_GRACE_MS).unref());
  await Promise.race([closed, late]);
  child.stdout?.destroy();
  child.stderr?.destroy();
  return code;
}

/** The part of a TAP text worth showing: failing points with their diagnostics, and what was no TAP. */
function failuresOf(output: string): string {
  const lines = output.split('\n');
  const shown: string[] = [];
  let inFailure = false;
  for (const line of lines) {
    const text = line.trimStart();
    if (text.startsWith('not ok')) inFailure = true;
    else if (/^(ok |# Subtest|1\.\.|TAP version)/.test(text)) inFailure = false;
    const noise = /^(ok |# Subtest|1\.\.|TAP version|# \{|# time=)/.test(text) || text === '';
    if (inFailure || !noise) shown.push(`    ${line}`);
  }
  return shown.slice(0, 200).join('\n');
}
