import t from 'tap';
import { createWorld, pass, type Script, scripted, settle } from './support.ts';

t.test('supervision: an actor that throws starts afresh after a wait and goes on', async (t) => {
  const { system, clock } = createWorld(t);
  const log: string[] = [];
  const ref = system.spawn(
    scripted({
      init: () => void log.push('init') as undefined,
      dispose: () => void log.push('dispose'),
    }),
    { name: 'x' },
  );
  ref.tell(() => {
    throw new Error('bad luck');
  });
  ref.tell(() => void log.push('next'));
  await settle();
  t.strictSame(log, ['init', 'dispose'], 'the next message waits');
  await pass(clock, 150);
  t.strictSame(log, ['init', 'dispose', 'init', 'next']);
  t.match(system.tree().children, [{ restarts: 1, lastFailure: 'bad luck' }]);
});

t.test('supervision: every way to fail is caught', async (t) => {
  const { system, clock } = createWorld(t);
  let inits = 0;
  const ref = system.spawn(scripted({ init: () => void inits++ as undefined }), { name: 'x' });
  const ways: Script[] = [
    () => {
      throw new Error('synchronous');
    },
    async () => {
      throw new Error('asynchronous');
    },
    (context) =>
      context.pipe(
        () => Promise.reject(new Error('piped')),
        () => () => {},
      ),
    (context) =>
      context.pipe(
        () => {
          throw new Error('piped synchronously');
        },
        () => () => {},
      ),
    (context) => context.startTimer('t', 1, () => Promise.reject(new Error('timed'))),
  ];
  const failures: (string | undefined)[] = [];
  for (const way of ways) {
    ref.tell(way);
    await pass(clock, 5000);
    failures.push(system.tree().children[0]?.lastFailure);
  }
  t.strictSame(failures, ['synchronous', 'asynchronous', 'piped', 'piped synchronously', 'timed']);
  t.equal(inits, 6);
});

t.test(
  'supervision: a restart takes the children, timers, watches and the signal along',
  async (t) => {
    const { system, clock } = createWorld(t);
    const log: string[] = [];
    const other = system.spawn(scripted(), { name: 'other' });
    const ref = system.spawn(
      scripted({
        init(context) {
          const child = scripted({ dispose: () => void log.push('child gone') });
          context.spawn(child, { name: 'child' });
          context.startTimer('t', 10_000, () => void log.push('old timer'));
          context.watch(other, () => void log.push('told of the death'));
          context.signal.addEventListener('abort', () => log.push('signal'));
          return undefined;
        },
      }),
      { name: 'x' },
    );
    await settle();
    ref.tell(() => {
      throw new Error('again');
    });
    await pass(clock, 200);
    t.strictSame(log, ['signal', 'child gone']);
    t.equal(system.tree().children[1]?.children.length, 1, 'spawned again by init');
    await system.stop(other);
    await settle();
    t.equal(log.filter((line) => line === 'told of the death').length, 1, 'by the new watch only');
  },
);

t.test('supervision: an init that fails is tried again', async (t) => {
  const { system, clock } = createWorld(t);
  let tries = 0;
  system.spawn(
    scripted({
      async init() {
        if (++tries < 4) throw new Error('not yet');
        return undefined;
      },
    }),
    { name: 'x' },
  );
  await pass(clock, 2000);
  t.equal(tries, 4);
  t.match(system.tree().children, [{ restarts: 3 }]);
});

t.test('supervision: waits grow, and beyond the budget the parent fails instead', async (t) => {
  const { system, clock } = createWorld(t);
  const starts: number[] = [];
  let parents = 0;
  const supervision = {
    restartsMax: 3,
    windowMs: 60_000,
    backoffInitialMs: 100,
    backoffMaxMs: 1000,
  };
  system.spawn(
    scripted({
      init(context) {
        if (++parents > 1) return undefined;
        const child = scripted({
          init() {
            starts.push(clock.monotonicMs());
            throw new Error('hopeless');
          },
        });
        context.spawn(child, { name: 'child', supervision });
        return undefined;
      },
    }),
    { name: 'parent' },
  );
  await pass(clock, 3000, 10);
  t.equal(starts.length, 4, 'one start and three restarts');
  const waits = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
  t.ok(
    waits.every((wait, index) => wait >= 75 * 2 ** index && wait <= 110 * 2 ** index),
    `${waits}`,
  );
  t.equal(parents, 2, 'the parent was restarted');
  t.match(system.tree().children, [{ lastFailure: /child keeps failing: hopeless/, children: [] }]);
});

t.test('supervision: failures outside the window do not count', async (t) => {
  const { system, clock } = createWorld(t);
  const supervision = { restartsMax: 2, windowMs: 1000 };
  const ref = system.spawn(scripted(), { name: 'x', supervision });
  for (let n = 0; n < 6; n++) {
    ref.tell(() => {
      throw new Error('now and then');
    });
    await pass(clock, 1500);
  }
  t.match(system.tree().children, [{ restarts: 6 }]);
});

t.test('supervision: an actor without a parent is restarted slowly for ever', async (t) => {
  const { system, clock } = createWorld(t);
  let tries = 0;
  const behaviour = scripted({
    init() {
      tries++;
      throw new Error('hopeless');
    },
  });
  const supervision = { restartsMax: 1, backoffInitialMs: 100, backoffMaxMs: 5000 };
  system.spawn(behaviour, { name: 'x', supervision });
  await pass(clock, 1000);
  t.equal(tries, 2);
  await pass(clock, 5000);
  t.equal(tries, 3);
});

t.test('supervision: a stop during the wait for a restart is final', async (t) => {
  const { system, clock } = createWorld(t);
  let inits = 0;
  const ref = system.spawn(scripted({ init: () => void inits++ as undefined }), { name: 'x' });
  ref.tell(() => {
    throw new Error('bad luck');
  });
  await settle();
  await system.stop(ref);
  await pass(clock, 1000);
  t.equal(inits, 1);
  t.equal(clock.msToNext(), undefined);
});

t.test('supervision: what a cancelled receive throws is no failure', async (t) => {
  const { system } = createWorld(t);
  const ref = system.spawn(scripted(), { name: 'x' });
  let ended = false;
  ref.tell(
    ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          ended = true;
          reject(signal.reason);
        });
      }),
  );
  await settle();
  await system.stop(ref);
  t.ok(ended, 'the signal overtakes the receive under way');
});

t.test('supervision: work begun before a restart has no effect after it', async (t) => {
  const { system, clock } = createWorld(t);
  const got: string[] = [];
  const work = Promise.withResolvers<string>();
  const doomed = Promise.withResolvers<string>();
  const ref = system.spawn(scripted(), { name: 'x' });
  const take =
    (value: string): Script =>
    () =>
      void got.push(value);
  ref.tell((context) => {
    context.pipe(() => work.promise, take);
    context.pipe(() => doomed.promise, take);
  });
  await settle();
  ref.tell(() => {
    throw new Error('restart');
  });
  await pass(clock, 200);
  work.resolve('result of the former life');
  doomed.reject(new Error('failure of the former life'));
  await pass(clock, 200);
  t.strictSame(got, []);
  t.match(system.tree().children, [{ restarts: 1, lastFailure: 'restart' }]);
});
