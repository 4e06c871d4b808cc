import { spawn } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import t from 'tap';
import { type FileLock, lockFile } from '../../src/lib/file-lock.ts';

const MODULE = new URL('../../src/lib/file-lock.ts', import.meta.url).href;

async function locked(path: string): Promise<FileLock> {
  const outcome = await lockFile(path);
  if (outcome.kind === 'held') throw new Error(`held by ${outcome.holder}`);
  return outcome.lock;
}

t.test('file-lock: one holder at a time; the next one gets it after a release', async (t) => {
  const path = `${t.testdir()}/lock`;
  const first = await locked(path);
  t.strictSame(await lockFile(path), { kind: 'held', holder: process.pid });
  await first.release();
  await first.release();
  const second = await locked(path);
  await second.release();
  t.equal((await stat(path)).mode & 0o777, 0o600);
});

t.test('file-lock: what lies in the file never decides who holds it', async (t) => {
  const path = `${t.testdir()}/lock`;
  await writeFile(path, '1\n');
  const lock = await locked(path);
  await writeFile(path, 'garbage');
  t.strictSame(await lockFile(path), { kind: 'held', holder: undefined });
  await lock.release();
});

t.test('file-lock: a holder that was killed holds nothing', async (t) => {
  const path = `${t.testdir()}/lock`;
  const script = `import { lockFile } from ${JSON.stringify(MODULE)};
    const outcome = await lockFile(${JSON.stringify(path)});
    console.log(outcome.kind);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  t.teardown(() => child.kill('SIGKILL'));
  const said = await new Promise<string>((resolve) =>
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
  );
  t.equal(said, 'locked');
  t.strictSame(await lockFile(path), { kind: 'held', holder: child.pid });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  const lock = await locked(path);
  await lock.release();
});
