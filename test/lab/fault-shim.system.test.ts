/** The shim that breaks disks and clocks, under a real Node process: needs a C compiler. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { diskFaultsOf, parseDiskCondition } from '../../src/lab/disk-condition.ts';
import {
  buildShim,
  NO_FAULTS,
  readFaults,
  shimEnvironment,
  writeFaults,
} from '../../src/lab/host-faults.ts';
import { planLab } from '../../src/lab/plan.ts';
import { loseFrom } from '../../src/lab/unsynced.ts';
import { seededRandom } from '../../src/lib/random.ts';

/** Runs calls on files as it is told, one line each, and answers with the error or the time it took. */
const WORKER = `
  const fs = require('node:fs/promises');
  const { createInterface } = require('node:readline');
  const [below, beside] = process.argv.slice(1);
  (async () => {
    const files = {
      below: await fs.open(below + '/file', 'w+'),
      beside: await fs.open(beside + '/file', 'w+'),
    };
    for (const file of Object.values(files)) await file.write(Buffer.alloc(64));
    const calls = {
      sync: (place) => files[place].datasync(),
      overwrite: (place) => files[place].write(Buffer.alloc(8), 0, 8, 0),
      grow: (place) => files[place].writev([Buffer.alloc(60), Buffer.alloc(60)], 0),
      create: async (place) => (await fs.open((place === 'below' ? below : beside) + '/new', 'w')).close(),
      rename: (place) => fs.rename(below + '/file', below + '/file'),
      now: async () => Date.now(),
    };
    for await (const line of createInterface({ input: process.stdin })) {
      const [call, place] = line.split(' ');
      const started = performance.now();
      const outcome = await calls[call](place).then((value) => value, (error) => error.code);
      console.log(JSON.stringify({
        outcome: typeof outcome === 'object' ? undefined : outcome,
        ms: performance.now() - started,
      }));
    }
  })();
`;

type Answer = { readonly outcome?: string | number; readonly ms: number };

async function startWorker(t: Test) {
  const root = t.testdir();
  const plan = planLab({ root, name: 'shim', index: 0, nodes: 1 });
  const host = plan.hosts[0];
  if (host === undefined) throw new Error('a plan has a host');
  const below = `${root}/below`;
  for (const directory of [host.dir, below, `${root}/below-not`]) {
    await mkdir(directory, { recursive: true });
  }
  await buildShim(plan);
  const given = (await shimEnvironment(plan, host)).map(
    (pair) => pair.split('=') as [string, string],
  );
  const env = { ...process.env, ...Object.fromEntries(given), SKEIN_FAULTS_BELOW: below };
  const child = spawn(process.execPath, ['-e', WORKER, below, `${root}/below-not`], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const ask = async (call: string): Promise<Answer> => {
    child.stdin.write(`${call}\n`);
    const [line] = (await once(lines, 'line')) as [string];
    return JSON.parse(line) as Answer;
  };
  const become = (condition: string) =>
    writeFaults(host, { ...NO_FAULTS, disk: diskFaultsOf(parseDiskCondition(condition)) });
  return { ask, become, host };
}

t.test('lab: the shim breaks a disk at run time and mends it', async (t) => {
  const { ask, become, host } = await startWorker(t);
  const outcomes = async (place: string) => {
    const seen: (string | number | undefined)[] = [];
    for (const call of ['sync', 'overwrite', 'create']) {
      seen.push((await ask(`${call} ${place}`)).outcome);
    }
    return seen;
  };
  const well = [undefined, undefined, undefined];
  t.strictSame(await outcomes('below'), well);
  await become('failing');
  t.strictSame(await outcomes('below'), ['EIO', undefined, undefined]);
  t.strictSame(await outcomes('beside'), well, 'a directory whose name begins alike is let be');
  await become('read-only');
  t.strictSame(await outcomes('below'), [undefined, 'EROFS', 'EROFS']);
  t.equal((await ask('rename below')).outcome, 'EROFS');
  await become('full');
  t.strictSame(await outcomes('below'), well, 'what is there can be written anew');
  t.equal((await ask('grow below')).outcome, 'ENOSPC', 'but nothing more');
  await become('healthy');
  t.equal((await ask('grow below')).outcome, undefined);
  t.strictSame((await readFaults(host))?.met, { sync: 1, write: 2, change: 2 });
});

t.test('lab: the shim makes a disk slow, and lets go of what hangs', async (t) => {
  const { ask, become } = await startWorker(t);
  await become('slow:300');
  t.ok((await ask('sync below')).ms >= 300);
  t.ok((await ask('overwrite below')).ms < 300, 'writes reach the cache as ever');
  await become('hung');
  const hanging = ask('sync below');
  t.equal(
    await Promise.race([hanging, new Promise((end) => setTimeout(end, 200, 'hangs'))]),
    'hangs',
  );
  await become('healthy');
  t.equal((await hanging).outcome, undefined, 'a sync that hung is done when the disk is well');
});

/** Writes in several ways, syncs some of it, says so, and waits to be killed. */
const WRITER = `
  const fs = require('node:fs/promises');
  const [root] = process.argv.slice(1);
  (async () => {
    await fs.writeFile(root + '/named', 'former');
    const log = await fs.open(root + '/log', 'w+');
    await log.write(Buffer.alloc(4096, 'a'), 0, 4096, 0);
    await log.sync();
    const directory = await fs.open(root, 'r');
    await directory.sync();
    const former = await fs.open(root + '/named', 'r');
    await former.sync();
    await log.write(Buffer.alloc(1024, 'b'), 0, 1024, 1024);
    await log.datasync();
    await log.write(Buffer.alloc(1024, 'c'), 0, 1024, 2048);
    await fs.writeFile(root + '/named.new', 'later');
    const later = await fs.open(root + '/named.new', 'r+');
    await later.sync();
    await fs.rename(root + '/named.new', root + '/named');
    console.log('written');
    setInterval(() => {}, 1000);
  })();
`;

t.test('lab: a power cut loses what was not synced, some of it, and nothing else', async (t) => {
  const root = t.testdir();
  const plan = planLab({ root, name: 'cut', index: 0, nodes: 1 });
  const host = plan.hosts[0];
  if (host === undefined) throw new Error('a plan has a host');
  const data = `${root}/data`;
  await mkdir(host.dir, { recursive: true });
  await mkdir(data, { recursive: true });
  await buildShim(plan);
  const seen = { log: new Set<string>(), named: new Set<string>() };
  for (let seed = 0; seed < 16; seed++) {
    const environment = await shimEnvironment(plan, host);
    const given = environment.map((pair) => pair.split('=') as [string, string]);
    const env = { ...process.env, ...Object.fromEntries(given), SKEIN_FAULTS_BELOW: data };
    const child = spawn(process.execPath, ['-e', WRITER, data], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const journal = `${host.dir}/faults.unsynced`;
    await loseFrom({ journal, data, outside: (path) => path }, seededRandom(seed));
    const log = await readFile(`${data}/log`, 'latin1');
    t.equal(log.length, 4096);
    t.match(log, /^a{1024}b{1024}.{1024}a{1024}$/, 'what was synced is there');
    seen.log.add(log.slice(2048, 3072));
    seen.named.add(await readFile(`${data}/named`, 'utf8'));
  }
  const [a, c] = ['a'.repeat(512), 'c'.repeat(512)];
  for (const part of seen.log)
    t.ok([a + a, a + c, c + a, c + c].includes(part), 'sector by sector');
  t.ok(seen.log.has(a + a) && seen.log.has(c + c), 'the last write: at times lost, at times not');
  t.strictSame(
    [...seen.named].sort(),
    ['former', 'later'],
    'a file is replaced whole, or not at all',
  );
});

t.test('lab: the shim sets the wall clock and leaves monotonic time alone', async (t) => {
  const { ask, host } = await startWorker(t);
  const wrongBy = async () => Number((await ask('now')).outcome) - Date.now();
  t.ok(Math.abs(await wrongBy()) < 5_000);
  for (const clockOffsetMs of [3_600_000, -3_600_000]) {
    await writeFaults(host, { ...NO_FAULTS, clockOffsetMs });
    t.ok(Math.abs((await wrongBy()) - clockOffsetMs) < 5_000, `an hour: ${clockOffsetMs}`);
    t.ok((await ask('now')).ms < 1_000);
  }
});
