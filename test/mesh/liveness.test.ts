import t from 'tap';
import { createIdentity, parseIdentity } from '../../src/mesh/identity.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { admitAll, portOf, startCluster, startNode, startRelay, until } from './support.ts';

const within = { deadlineMs: 3000 };

function record(node: JoinableMesh): string[] {
  const events: string[] = [];
  node.onPeer((event) => events.push(event.kind));
  return events;
}

t.test('liveness: a closed connection is reported at once', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const events = record(a);
  const started = performance.now();
  await b.stop();
  await until(() => events.includes('disconnected'));
  t.ok(performance.now() - started < 1000);
});

t.test('liveness: a host that falls silent is noticed though TCP stays open', async (t) => {
  const [low, high] = await twoNodes(t);
  const relay = await startRelay(t, portOf(high));
  low.admit(new Map([[high.self, [`/ip4/127.0.0.1/tcp/${relay.port}`]]]));
  high.admit(new Map([[low.self, []]]));
  await until(() => [low, high].every((node) => node.peers()[0]?.connected === true));
  const [eventsLow, eventsHigh] = [record(low), record(high)];
  relay.silent = true;
  const started = performance.now();
  await until(() => eventsLow.includes('disconnected') && eventsHigh.includes('disconnected'));
  const took = performance.now() - started;
  t.ok(took > 900 && took < 2600, `noticed after ${Math.round(took)} ms`);
  relay.silent = false;
  await until(() => low.peers()[0]?.connected === true && high.peers()[0]?.connected === true);
});

t.test('liveness: an idle connection stays up', async (t) => {
  const limits = { heartbeatMs: 20, silenceMs: 100 };
  const [a, b] = await startCluster(t, 2, { limits });
  if (!a || !b) return;
  const events = [...record(a), ...record(b)];
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.strictSame(events, []);
});

t.test('liveness: a stall of our own is not taken for silence of the peers', async (t) => {
  const limits = { heartbeatMs: 50, silenceMs: 150 };
  const [a, b] = await startCluster(t, 2, { limits });
  if (!a || !b) return;
  const events = [record(a), record(b)];
  const end = performance.now() + 600;
  while (performance.now() < end) {
    // The whole process stands still, as in a long garbage collection.
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.strictSame(events, [[], []]);
});

t.test('liveness: a peer that restarts with its key on a new port is found again', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const key = (await createIdentity()).bytes;
  const id = parseIdentity(key).id;
  const first = await startNode(t, { identity: key });
  const members = new Map([a, b, first].map((node) => [node.self, node.addresses()]));
  for (const node of [a, b, first]) node.admit(members);
  await until(() => [a, b].every((node) => connected(node, id)));
  const formerPort = portOf(first);
  await first.stop();
  await until(() => [a, b].every((node) => !connected(node, id)));
  const second = await startNode(t, { identity: key });
  second.serve('echo', async (body) => body);
  t.not(portOf(second), formerPort);
  second.admit(members);
  await until(() => [a, b].every((node) => connected(node, id)));
  t.equal(await a.request(id, 'echo', 'again', within), 'again');
});

t.test('liveness: a new start of a peer replaces its old connection, which hangs', async (t) => {
  const keys = [(await createIdentity()).bytes, (await createIdentity()).bytes];
  keys.sort((left, right) => (parseIdentity(left).id < parseIdentity(right).id ? -1 : 1));
  for (const [survivorKey, victimKey] of [keys, keys.toReversed()]) {
    if (!survivorKey || !victimKey) return;
    const survivor = await startNode(t, { identity: survivorKey });
    const victim = await startNode(t, { identity: victimKey });
    const relay = await startRelay(t, portOf(victim));
    survivor.admit(new Map([[victim.self, [`/ip4/127.0.0.1/tcp/${relay.port}`]]]));
    victim.admit(new Map([[survivor.self, []]]));
    await until(() => connected(survivor, victim.self));
    relay.silent = true;
    await victim.stop();
    const events = record(survivor);
    const reborn = await startNode(t, { identity: victimKey });
    reborn.serve('echo', async (body) => body);
    reborn.admit(new Map([[survivor.self, survivor.addresses()]]));
    await until(() => connected(reborn, survivor.self), 1400);
    await until(() => events.includes('connected'), 1400);
    t.strictSame(events, ['disconnected', 'connected'], 'the change of life is told');
    t.equal(await survivor.request(victim.self, 'echo', 'me', within), 'me');
    await Promise.all([survivor.stop(), reborn.stop()]);
  }
});

t.test('liveness: simultaneous dials end in one connection, reported once', async (t) => {
  for (let round = 0; round < 4; round++) {
    const limits = { dialDeferMs: 0, heartbeatMs: 50 };
    const [a, b] = await Promise.all([startNode(t, { limits }), startNode(t, { limits })]);
    const events = [record(a), record(b)];
    a.serve('echo', async (body) => body);
    b.serve('echo', async (body) => body);
    admitAll([a, b]);
    const asked = Array.from({ length: 50 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 5));
      return [
        await a.request(b.self, 'echo', 1, within),
        await b.request(a.self, 'echo', 1, within),
      ];
    });
    await Promise.all(asked);
    t.strictSame(events, [['connected'], ['connected']]);
    await Promise.all([a.stop(), b.stop()]);
  }
});

function connected(node: JoinableMesh, peer: string): boolean {
  return node.peers().some((info) => info.peer === peer && info.connected);
}

/** Two nodes, the one with the lower id first. */
async function twoNodes(t: Parameters<typeof startNode>[0]): Promise<[JoinableMesh, JoinableMesh]> {
  const nodes = await Promise.all([startNode(t), startNode(t)]);
  return nodes[0].self < nodes[1].self ? nodes : [nodes[1], nodes[0]];
}
