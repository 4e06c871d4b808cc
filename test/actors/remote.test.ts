import t from 'tap';
import { createActorSystem } from '../../src/actors/system.ts';
import type { ActorRef, ActorSystem, ReplyRef } from '../../src/actors/types.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { startCluster, until } from '../mesh/support.ts';
import { collector, type Script, scripted } from './support.ts';

const within = { deadlineMs: 3000 };

type Node = { readonly mesh: JoinableMesh; readonly system: ActorSystem };

async function startNodes(t: Parameters<typeof startCluster>[0], count = 2): Promise<Node[]> {
  const meshes = await startCluster(t, count);
  return meshes.map((mesh, index) => {
    const components = { clock: systemClock, random: seededRandom(index), logger: silentLogger };
    const options = { outbox: { framesMax: 50 } };
    const system = createActorSystem({ ...components, remote: mesh }, options);
    t.teardown(() => system.shutdown());
    return { mesh, system };
  });
}

t.test('remote: messages arrive in order, and an ask is answered', async (t) => {
  const [a, b] = await startNodes(t);
  if (!a || !b) return;
  const got: number[] = [];
  b.system.spawn(collector(got), { name: 'sink' });
  const sink = a.system.resolve<number>(`skein://${b.mesh.self}/sink`);
  for (let n = 0; n < 20; n++) t.equal(sink.tell(n), 'queued');
  await until(() => got.length === 20);
  t.strictSame(
    got,
    [...got].sort((left, right) => left - right),
  );
  type Question = { n: number; replyTo: ReplyRef<number> };
  b.system.spawn<Question, undefined>(
    {
      init: () => undefined,
      receive: (_state, { n, replyTo }) => void replyTo.tell(n * 2) as undefined,
    },
    { name: 'double' },
  );
  const double = a.system.resolve<Question>(`skein://${b.mesh.self}/double`);
  const answer = await double.ask<number>((replyTo) => ({ n: 21, replyTo }), within);
  t.strictSame(answer, { kind: 'answered', value: 42 });
});

t.test('remote: references in messages work where they arrive, even at a third node', async (t) => {
  const [a, b, c] = await startNodes(t, 3);
  if (!a || !b || !c) return;
  type Parcel = { to: ActorRef<string>; replyTo: ReplyRef<string> };
  type Hop = { next: ActorRef<Parcel>; parcel: Parcel };
  const got: string[] = [];
  const home = a.system.spawn(collector(got), { name: 'home' });
  b.system.spawn<Hop, undefined>(
    {
      init: () => undefined,
      receive: (_state, { next, parcel }) => void next.tell(parcel) as undefined,
    },
    { name: 'hop' },
  );
  const end = c.system.spawn<Parcel, undefined>(
    {
      init: () => undefined,
      receive(_state, { to, replyTo }) {
        to.tell('from c to a');
        replyTo.tell('answered by c');
        return undefined;
      },
    },
    { name: 'end' },
  );
  const hop = a.system.resolve<Hop>(`skein://${b.mesh.self}/hop`);
  const next = a.system.resolve<Parcel>(end.path);
  const make = (replyTo: ReplyRef<string>): Hop => ({ next, parcel: { to: home, replyTo } });
  t.strictSame(await hop.ask(make, within), { kind: 'answered', value: 'answered by c' });
  await until(() => got.length === 1);
});

t.test('remote: an ask fails for the true reason, without waiting for its deadline', async (t) => {
  const [a, b] = await startNodes(t);
  if (!a || !b) return;
  const patient = { deadlineMs: 60_000 };
  const at = (path: string) => a.system.resolve<unknown>(`skein://${path}`);
  const ask = (path: string) => at(path).ask((replyTo) => replyTo, patient);
  t.match(await ask(`${b.mesh.self}/nobody`), { kind: 'failed', reason: 'dead' });
  b.system.spawn<unknown, undefined>(
    {
      mailbox: { capacity: 1 },
      init: () => undefined,
      receive: (_state, _message, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    },
    { name: 'small' },
  );
  const flood = Array.from({ length: 20 }, () =>
    at(`${b.mesh.self}/small`).ask((replyTo) => replyTo, { deadlineMs: 500 }),
  );
  const reasons = (await Promise.all(flood)).map((result) => 'reason' in result && result.reason);
  t.ok(reasons.includes('rejected'), 'the full mailbox over there');
  t.match(await ask(`${(await createIdentity()).id}/x`), { reason: 'unreachable' });
  b.system.spawn(collector<unknown>([]), { name: 'mute' });
  const waiting = ask(`${b.mesh.self}/mute`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await b.mesh.stop();
  t.match(await waiting, { kind: 'failed', reason: 'unreachable' });
});

t.test('remote: a queue that is full refuses, the caller never waits', async (t) => {
  const [a, b] = await startNodes(t);
  if (!a || !b) return;
  const sink = a.system.resolve<number>(`skein://${b.mesh.self}/nobody`);
  const outcomes = Array.from({ length: 80 }, (_, n) => sink.tell(n));
  t.strictSame([outcomes.filter((one) => one === 'queued').length, outcomes[79]], [50, 'rejected']);
  t.equal(a.system.deadLetters().length, 30);
});

t.test('remote: death is told across nodes: a stop, an absence, a lost node', async (t) => {
  const [a, b] = await startNodes(t);
  if (!a || !b) return;
  const told: string[] = [];
  const note =
    (text: string): Script =>
    () =>
      void told.push(text);
  const watcher = a.system.spawn(scripted(), { name: 'watcher' });
  const stops = b.system.spawn(scripted(), { name: 'stops' });
  b.system.spawn(scripted(), { name: 'stays' });
  const stranger = (await createIdentity()).id;
  watcher.tell((context) => {
    const watch = (path: string, text: string) =>
      context.watch(a.system.resolve(`skein://${path}`), note(text));
    watch(`${b.mesh.self}/stops`, 'stopped');
    watch(`${b.mesh.self}/stays`, 'lost');
    watch(`${b.mesh.self}/nobody`, 'absent');
    watch(`${stranger}/x`, 'unreachable');
  });
  await until(() => told.length === 2);
  t.strictSame([...told].sort(), ['absent', 'unreachable']);
  await b.system.stop(stops);
  await until(() => told.includes('stopped'));
  await b.mesh.stop();
  await until(() => told.includes('lost'));
  t.equal(told.length, 4, 'each once');
});

t.test('remote: what cannot be sent is refused and kept to look at', async (t) => {
  const [a, b] = await startNodes(t);
  if (!a || !b) return;
  const sink = a.system.resolve<unknown>(`skein://${b.mesh.self}/x`);
  t.equal(sink.tell(new Uint8Array(5 * 1024 * 1024)), 'rejected');
  t.match(a.system.deadLetters(), [{ path: sink.path }]);
});
