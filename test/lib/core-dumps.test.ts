import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const MODULE = new URL('../../src/lib/core-dumps.ts', import.meta.url).href;
const run = promisify(execFile);

t.test('core dumps: once forbidden, the kernel writes none of this process', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'skein-core-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const script = `
    const { readFileSync } = await import('node:fs');
    const limit = () => /Max core file size +(\\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1];
    const before = limit();
    const { forbidCoreDumps } = await import('${MODULE}');
    console.log(before, forbidCoreDumps(), limit());
    process.abort();`;
  const command = `ulimit -c unlimited; exec "$0" --no-warnings --input-type=module -e "$1"`;
  const failed = await run('sh', ['-c', command, process.execPath, script], {
    cwd: directory,
  }).catch((error: { stdout: string; signal: string }) => error);
  t.equal(failed.stdout.trim(), 'unlimited true 0');
  t.match(failed, { signal: 'SIGABRT' });
  t.strictSame(await readdir(directory), []);
});
