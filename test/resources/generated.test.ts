import { spawnSync } from 'node:child_process';
import t from 'tap';

t.test(
  'generated: the files are what the generator makes of the client package and the facts',
  async (t) => {
    const script = new URL('../../scripts/generate-resources.ts', import.meta.url).pathname;
    const run = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
    t.equal(run.status, 0, run.stderr);
  },
);
