import t from 'tap';
import type { Behaviour, ReplyRef } from '../../src/actors/types.ts';
import { collector, createWorld, pass, type Script, scripted, settle } from './support.ts';

t.test(
  'actors: messages are handled one at a time, in order, also by async receives',
  async (t) => {
    const { system } = createWorld(t);
    const seen: string[] = [];
    const ref = system.spawn<number, undefined>(
      {
        init: () => undefined,
        async receive(_state, n) {
          seen.push(`begin ${n}`);
          await new Promise((resolve) => setImmediate(resolve));
          seen.push(`end ${n}`);
          return undefined;
        },
      },
      { name: 'a' },
    );
    t.equal(ref.path, 'skein://n1/a');
    for (const n of [1, 2]) t.equal(ref.tell(n), 'queued');
    await settle();
    t.strictSame(seen, ['begin 1', 'end 1', 'begin 2', 'end 2']);
  },
);

t.test('actors: state passes from message to message', async (t) => {
  const { system, clock } = createWorld(t);
  type Message = { add: number } | { get: ReplyRef<number> };
  const counter: Behaviour<Message, number> = {
    init: () => 10,
    receive(state, message) {
      if ('add' in message) return state + message.add;
      message.get.tell(state);
      return state;
    },
  };
  const ref = system.spawn(counter, { name: 'counter' });
  ref.tell({ add: 5 });
  const answer = await ref.ask<number>((get) => ({ get }), { deadlineMs: 1000 });
  t.strictSame(answer, { kind: 'answered', value: 15 });
  t.equal(clock.msToNext(), undefined, 'no deadline is left behind');
});

t.test('actors: messages wait while init is under way', async (t) => {
  const { system } = createWorld(t);
  const got: string[] = [];
  const ready = Promise.withResolvers<string[]>();
  const behaviour = { ...collector(got), init: () => ready.promise };
  const ref = system.spawn(behaviour, { name: 'slow' });
  ref.tell('early');
  await settle();
  t.strictSame(got, []);
  ready.resolve(got);
  await settle();
  t.strictSame(got, ['early']);
});

t.test('actors: a long queue does not keep other work from its turn', async (t) => {
  const { system } = createWorld(t);
  const got: number[] = [];
  const ref = system.spawn(collector(got), { name: 'busy' });
  for (let n = 0; n < 1000; n++) ref.tell(n);
  let atFirstTurn = -1;
  setImmediate(() => {
    atFirstTurn = got.length;
  });
  await settle();
  while (got.length < 1000) await settle();
  t.ok(atFirstTurn > 0 && atFirstTurn < 1000, `${atFirstTurn} of 1000 at the first turn`);
});

t.test('actors: a full mailbox refuses, and what found no taker is kept to look at', async (t) => {
  const { system } = createWorld(t);
  const ref = system.spawn(collector<string>([], { capacity: 1 }), { name: 'small' });
  t.equal(ref.tell('one'), 'queued');
  t.equal(ref.tell('two'), 'rejected');
  t.equal(system.resolve('skein://n1/nobody').tell('lost'), 'dead');
  t.match(system.deadLetters(), [
    { path: 'skein://n1/small', message: "'two'" },
    { path: 'skein://n1/nobody', message: "'lost'" },
  ]);
  for (let n = 0; n < 300; n++) system.resolve('skein://n1/nobody').tell(n);
  t.equal(system.deadLetters().length, 100);
});

t.test('actors: an ask ends in every case', async (t) => {
  const { system, clock } = createWorld(t);
  const mute = system.spawn(collector<unknown>([], { capacity: 1 }), { name: 'mute' });
  const late = mute.ask((reply) => reply, { deadlineMs: 500 });
  const refused = await mute.ask((reply) => reply, { deadlineMs: 500 });
  t.strictSame(refused, { kind: 'failed', reason: 'rejected' });
  await pass(clock, 500);
  t.strictSame(await late, { kind: 'failed', reason: 'timeout' });
  const controller = new AbortController();
  const { signal } = controller;
  const withdrawn = mute.ask((reply) => reply, { deadlineMs: 500, signal });
  controller.abort();
  t.strictSame(await withdrawn, { kind: 'failed', reason: 'aborted' });
  const orphaned = mute.ask((reply) => reply, { deadlineMs: 500 });
  await system.stop(mute);
  t.strictSame(await orphaned, { kind: 'failed', reason: 'dead' });
  const dead = await mute.ask((reply) => reply, { deadlineMs: 500 });
  t.strictSame(dead, { kind: 'failed', reason: 'dead' });
  const afar = await system.resolve('skein://n2/x').ask(() => 0, { deadlineMs: 500 });
  t.equal(afar.kind, 'failed');
});

t.test('actors: timers are replaced by key, cancelled, and die with their actor', async (t) => {
  const { system, clock } = createWorld(t);
  const got: string[] = [];
  const ref = system.spawn<string, undefined>(
    {
      init(context) {
        context.startTimer('a', 100, 'never: replaced');
        context.startTimer('a', 200, 'a');
        context.startTimer('b', 100, 'never: cancelled');
        context.cancelTimer('b');
        context.startTimer('c', 1000, 'never: stopped');
        return undefined;
      },
      receive: (_state, message) => void got.push(message) as undefined,
    },
    { name: 'timed' },
  );
  await pass(clock, 300);
  t.strictSame(got, ['a']);
  await system.stop(ref);
  await pass(clock, 2000);
  t.strictSame(got, ['a']);
  t.equal(clock.msToNext(), undefined, 'no timer is left behind');
});

t.test('actors: a timer fires into a full mailbox', async (t) => {
  const { system, clock } = createWorld(t);
  const got: string[] = [];
  const gate = Promise.withResolvers<void>();
  const ref = system.spawn<string, undefined>(
    {
      mailbox: { capacity: 1 },
      init: (context) => void context.startTimer('tick', 100, 'tick') as undefined,
      async receive(_state, message) {
        got.push(message);
        if (message === 'block') await gate.promise;
        return undefined;
      },
    },
    { name: 'full' },
  );
  ref.tell('block');
  await settle();
  ref.tell('waiting');
  t.equal(ref.tell('refused'), 'rejected');
  await pass(clock, 150);
  gate.resolve();
  await settle();
  t.strictSame(got, ['block', 'tick', 'waiting']);
});

t.test('actors: piped work comes back as a message while others are handled', async (t) => {
  const { system } = createWorld(t);
  const got: string[] = [];
  const work = Promise.withResolvers<string>();
  const ref = system.spawn<string, undefined>(
    {
      init(context) {
        context.pipe(
          () => work.promise,
          (value) => `done ${value}`,
        );
        context.pipe(
          async () => {
            throw new Error('no');
          },
          () => 'never',
          (error) => `failed ${(error as Error).message}`,
        );
        return undefined;
      },
      receive: (_state, message) => void got.push(message) as undefined,
    },
    { name: 'piper' },
  );
  ref.tell('meanwhile');
  await settle();
  work.resolve('x');
  await settle();
  t.strictSame([...got].sort(), ['done x', 'failed no', 'meanwhile']);
});

t.test('actors: who watches is told of a stop, also of one in the past', async (t) => {
  const { system } = createWorld(t);
  const told: string[] = [];
  const watcher = system.spawn(scripted(), { name: 'watcher' });
  const target = system.spawn(scripted(), { name: 'target' });
  const note =
    (text: string): Script =>
    () =>
      void told.push(text);
  watcher.tell((context) => {
    context.watch(target, note('target'));
    context.watch(system.resolve('skein://n1/nobody'), note('nobody'));
  });
  await settle();
  t.strictSame(told, ['nobody']);
  target.tell((context) => context.stop());
  await settle();
  t.strictSame(told, ['nobody', 'target']);
});

t.test('actors: a stop ends the children first, then disposes once', async (t) => {
  const { system } = createWorld(t);
  const order: string[] = [];
  const named = (name: string) => scripted({ dispose: () => void order.push(name) });
  const parent = system.spawn(named('parent'), { name: 'parent' });
  parent.tell((context) => {
    const child = context.spawn(named('child'), { name: 'child' });
    child.tell((inner) => void inner.spawn(named('grandchild'), { name: 'grandchild' }));
  });
  await settle();
  t.equal(
    system.tree().children[0]?.children[0]?.children[0]?.path,
    'skein://n1/parent/child/grandchild',
  );
  await Promise.all([system.stop(parent), system.stop(parent)]);
  t.strictSame(order, ['grandchild', 'child', 'parent']);
  t.strictSame(system.tree().children, []);
  t.equal(
    parent.tell(() => {}),
    'dead',
  );
});

t.test('actors: an actor that stops itself keeps the state of its last message', async (t) => {
  const { system } = createWorld(t);
  const disposed: number[] = [];
  const ref = system.spawn<number, number>(
    {
      init: () => 0,
      receive(state, add, context) {
        context.stop();
        return state + add;
      },
      dispose: (state) => void disposed.push(state),
    },
    { name: 'last' },
  );
  ref.tell(7);
  ref.tell(8);
  await settle();
  t.strictSame(disposed, [7]);
  t.match(system.deadLetters(), [{ message: '8' }]);
});

t.test(
  'actors: a name is free again when its bearer is gone, and references follow it',
  async (t) => {
    const { system } = createWorld(t);
    const got: string[] = [];
    const first = system.spawn(collector<string>([]), { name: 'x' });
    t.throws(() => system.spawn(collector<string>([]), { name: 'x' }), /has not stopped yet/);
    await system.stop(first);
    system.spawn(collector(got), { name: 'x' });
    first.tell('by the old reference');
    await settle();
    t.strictSame(got, ['by the old reference']);
    t.throws(() => system.spawn(collector<string>([]), { name: 'a/b' }), /an actor's name/);
  },
);

t.test('actors: the tree shows depth, work done and rate', async (t) => {
  const { system, clock } = createWorld(t);
  const ref = system.spawn(collector<number>([]), { name: 'worker' });
  for (let n = 0; n < 50; n++) ref.tell(n);
  t.match(system.tree().children, [{ depth: 50, capacity: 1024, processed: 0 }]);
  await settle();
  t.match(system.tree().children, [{ depth: 0, processed: 50, rate: 5, restarts: 0 }]);
  await pass(clock, 12_000, 1000);
  t.match(system.tree().children, [{ processed: 50, rate: 0 }]);
});
