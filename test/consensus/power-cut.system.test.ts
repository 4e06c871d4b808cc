/**
 * The log's own code in a process of its own, over a disk that loses what nobody had synced: killed again and again, each time with a
 * power cut, each time read back. Needs a C compiler.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import t from 'tap';
import { buildShim, shimEnvironment } from '../../src/lab/host-faults.ts';
import { planLab } from '../../src/lab/plan.ts';
import { loseFrom } from '../../src/lab/unsynced.ts';
import { seededRandom } from '../../src/lib/random.ts';

const WRITER = new URL('../support/power-cut-writer.ts', import.meta.url).pathname;
const CUTS = 25;
const seed = Number(process.env['SKEIN_SEED'] ?? Date.now() % 1_000_000);

t.test('power cut: whatever a disk loses, every acknowledged entry is there again', async (t) => {
  t.comment(`SKEIN_SEED=${seed}`);
  const random = seededRandom(seed);
  const root = t.testdir();
  const plan = planLab({ root, name: 'cut', index: 0, nodes: 1 });
  const host = plan.hosts[0];
  if (host === undefined) throw new Error('a plan has a host');
  const data = `${root}/data`;
  await mkdir(data);
  await mkdir(host.dir, { recursive: true });
  await buildShim(plan);
  const journal = `${host.dir}/faults.unsynced`;
  const lost = { writes: 0, names: 0 };
  let acknowledged = 0;
  for (let cut = 0; cut <= CUTS; cut++) {
    const given = await shimEnvironment(plan, host);
    const own = Object.fromEntries(given.map((pair) => pair.split('=') as [string, string]));
    const child = spawn(process.execPath, [WRITER, data, String(seed + cut)], {
      env: { ...process.env, ...own, SKEIN_FAULTS_BELOW: data },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    const lines = createInterface({ input: child.stdout });
    const ended = Promise.all([once(child, 'exit'), once(lines, 'close')]);
    const before = acknowledged;
    let opened: number | undefined;
    const timer = { at: undefined as NodeJS.Timeout | undefined };
    lines.on('line', (line) => {
      const [what, index] = line.split(' ');
      if (what === 'opened') {
        opened = Number(index);
        timer.at = setTimeout(() => child.kill('SIGKILL'), random.int(5, 120));
      } else acknowledged = Math.max(acknowledged, Number(index));
    });
    await ended;
    clearTimeout(timer.at);
    if (opened === undefined) return t.fail(`cut ${cut}: it does not open: ${said}`);
    if (opened < before)
      return t.fail(`cut ${cut}: opened at ${opened}, ${before} was acknowledged`);
    const loss = await loseFrom({ journal, data, outside: (path) => path }, random);
    lost.writes += loss?.writes ?? 0;
    lost.names += loss?.names ?? 0;
  }
  t.comment(
    `${acknowledged} entries, ${CUTS} cuts, ${lost.writes} writes and ${lost.names} names lost`,
  );
  t.ok(acknowledged > CUTS, 'much was written');
  t.ok(lost.writes > 0, 'and some of what was not acknowledged was lost');
});
