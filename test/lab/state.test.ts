import { spawn } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { withLock } from '../../src/lab/lock.ts';
import {
  createState,
  labRoot,
  listLabs,
  loadLab,
  planOf,
  readState,
  removeLab,
  withLabLock,
  writeState,
} from '../../src/lab/state.ts';

const LOCK = new URL('../../src/lab/lock.ts', import.meta.url).href;

/** Labs of one test lie in a directory of its own. */
function ownRoot(t: Test): string {
  const root = t.testdir();
  const before = process.env['SKEIN_LAB_DIR'];
  process.env['SKEIN_LAB_DIR'] = root;
  t.teardown(() => {
    if (before === undefined) delete process.env['SKEIN_LAB_DIR'];
    else process.env['SKEIN_LAB_DIR'] = before;
  });
  return root;
}

t.test('lab: SKEIN_LAB_DIR says where labs are kept', async (t) => {
  const root = ownRoot(t);
  t.equal(labRoot(), root);
  process.env['SKEIN_LAB_DIR'] = '';
  t.equal(labRoot(), '/var/lib/skein-lab', 'empty is unset');
  process.env['SKEIN_LAB_DIR'] = 'labs';
  t.throws(() => labRoot(), { code: 'config-invalid', message: /SKEIN_LAB_DIR.*absolute/ });
  process.env['SKEIN_LAB_DIR'] = root;
});

t.test('lab: a state is kept as it was written, and read by nobody else', async (t) => {
  const root = ownRoot(t);
  const made = await createState('one', { nodes: 3, flags: ['--log-level=debug'] });
  t.strictSame(await readState('one'), made);
  const state = { ...made, hosts: { node1: { init: { pid: 7, startTime: '99' } } } };
  await writeState('one', state);
  t.strictSame((await loadLab('one')).state, state);
  t.equal((await stat(`${root}/one/lab.json`)).mode & 0o777, 0o600);
  t.equal((await stat(`${root}/one`)).mode & 0o777, 0o700);
  t.strictSame(await readdir(`${root}/one`), ['lab.json'], 'nothing temporary is left');
  t.equal(planOf('one', state).hosts.length, 3);
  await removeLab('one');
  t.equal(await readState('one'), undefined);
});

t.test('lab: labs made at the same time have different indexes', async (t) => {
  ownRoot(t);
  const names = ['a', 'b', 'c', 'd', 'e'];
  const made = await Promise.all(names.map((name) => createState(name, { nodes: 1, flags: [] })));
  t.equal(new Set(made.map(({ index }) => index)).size, names.length);
  t.strictSame(await listLabs(), names, 'the directory of locks is no lab');
});

t.test(
  'lab: an unknown lab is told with the command that starts it; a damaged one by name',
  async (t) => {
    const root = ownRoot(t);
    await t.rejects(loadLab('mine'), { code: 'config-invalid', message: /lab up --name mine/ });
    await createState('other', { nodes: 1, flags: [] });
    await t.rejects(loadLab('lab'), { message: /skein lab up; there is: other/ });
    await mkdir(`${root}/broken`);
    await writeFile(`${root}/broken/lab.json`, '{"index": 1,');
    await t.rejects(readState('broken'), { code: 'data-damaged', message: /broken\/lab\.json/ });
  },
);

t.test('lab: one command at a time changes a lab; other labs do not wait', async (t) => {
  ownRoot(t);
  const order: string[] = [];
  let finish = () => {};
  const held = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const begun = Promise.withResolvers<void>();
  const first = withLabLock('one', async () => {
    order.push('first begins');
    begun.resolve();
    await held;
    order.push('first ends');
  });
  await begun.promise;
  const second = withLabLock('one', async () => void order.push('second'));
  await withLabLock('two', async () => void order.push('another lab'));
  finish();
  await Promise.all([first, second]);
  t.strictSame(order, ['first begins', 'another lab', 'first ends', 'second']);
});

t.test('lab: who waits too long is told which process holds the lock', async (t) => {
  const directory = t.testdir();
  const at = { directory, name: 'one' };
  await withLock(at, async () => {
    await t.rejects(
      withLock(at, async () => t.fail('both ran'), { waitMs: 20 }),
      { code: 'deadline-exceeded', message: new RegExp(`pid ${process.pid}`) },
    );
  });
  await withLock(at, async () => t.pass('it is free afterwards'), { waitMs: 0 });
});

t.test('lab: work that fails gives the lock back', async (t) => {
  const at = { directory: t.testdir(), name: 'one' };
  await t.rejects(
    withLock(at, () => Promise.reject(new Error('oh'))),
    { message: 'oh' },
  );
  t.equal(await withLock(at, async () => 'mine', { waitMs: 0 }), 'mine');
});

t.test('lab: the lock of a command that was killed is free at once', async (t) => {
  const directory = t.testdir();
  const script = `import { withLock } from ${JSON.stringify(LOCK)};
    await withLock({ directory: ${JSON.stringify(directory)}, name: 'one' }, () => {
      console.log('holding');
      return new Promise(() => setInterval(() => {}, 1000));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  t.equal(await withLock({ directory, name: 'one' }, async () => 'mine', { waitMs: 0 }), 'mine');
});
