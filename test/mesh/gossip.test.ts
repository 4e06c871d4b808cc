import t from 'tap';
import { startCluster, startNode, until } from './support.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

t.test('gossip: what one publishes reaches all who subscribed, with its author', async (t) => {
  const nodes = await startCluster(t, 3);
  const [a] = nodes;
  if (!a) return;
  const got: string[] = [];
  for (const [index, node] of nodes.entries()) {
    node.subscribe('news', (data, from) => {
      got.push(`${index} ${new TextDecoder().decode(data)} ${from === a.self}`);
    });
  }
  await until(() => {
    // Subscriptions spread by themselves; what is said before that may be lost.
    a.publish('news', bytes('hello'));
    return got.includes('1 hello true') && got.includes('2 hello true');
  });
  t.notOk(
    got.some((line) => line.startsWith('0')),
    'not to the author itself',
  );
});

t.test('gossip: nothing after unsubscribing, and nothing too large', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  let got = 0;
  const end = b.subscribe('news', () => got++);
  await until(() => {
    a.publish('news', bytes(`${got}`));
    return got > 0;
  });
  end();
  const before = got;
  a.publish('news', bytes('late'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(got, before);
  t.throws(() => a.publish('news', new Uint8Array(65 * 1024)), { code: 'frame-too-large' });
});

t.test('gossip: it comes back with the connection', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  let got = 0;
  b.subscribe('news', () => got++);
  a.admit(new Map());
  await until(() => b.peers()[0]?.connected === false);
  a.admit(new Map([[b.self, b.addresses()]]));
  await until(() => b.peers()[0]?.connected === true);
  await until(() => {
    a.publish('news', bytes(`${got}`));
    return got > 0;
  });
});

t.test('gossip: a node alone may publish', async (t) => {
  const a = await startNode(t);
  t.doesNotThrow(() => a.publish('news', bytes('nobody hears')));
});
