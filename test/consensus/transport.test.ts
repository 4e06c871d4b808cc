import t from 'tap';
import { asIndex, asTerm, type Entry, type Message } from '../../raft/types.ts';
import { Transport } from '../../src/consensus/transport.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { MemoryNetwork } from '../support/memory-mesh.ts';

type Append = Extract<Message, { type: 'append' }>;

/** Two transports, and what the second one hears. */
function start() {
  const network = new MemoryNetwork();
  const clock = new VirtualClock();
  const heard: Message[] = [];
  const components = (self: string) => ({
    mesh: network.start(self),
    clock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  const events = { onMessage: () => {}, onUnreachable: () => {} };
  const sender = new Transport(components('a'), events);
  new Transport(components('b'), { ...events, onMessage: (message) => heard.push(message) });
  return { sender, clock, heard };
}

const envelope = { from: 'a', to: 'b', term: asTerm(2) };

function append(commit: number, entries = 0): Append {
  const [prevIndex, prevTerm] = [asIndex(9), asTerm(2)];
  const entry = (at: number): Entry => ({
    index: asIndex(10 + at),
    term: asTerm(2),
    kind: 'data',
    data: Buffer.from('x'),
  });
  const list = Array.from({ length: entries }, (_, at) => entry(at));
  return {
    type: 'append',
    ...envelope,
    prevIndex,
    prevTerm,
    entries: list,
    commit: asIndex(commit),
  };
}

function answer(index: number, reject = false): Message {
  const hint = { hintIndex: asIndex(0), hintTerm: asTerm(0) };
  return { type: 'append-response', ...envelope, index: asIndex(index), reject, ...hint };
}

/** Everything that leaves without the clock moving has arrived. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const commits = (heard: readonly Message[]) =>
  heard.filter((message) => message.type === 'append').map(({ commit }) => commit);

t.test(
  'transport: a commit index alone leaves with the next message, or when it lingered',
  async (t) => {
    const { sender, clock, heard } = start();
    sender.send(append(8, 1));
    await settle();
    t.strictSame(commits(heard), [8], 'entries leave at once');
    sender.send(append(9));
    await settle();
    t.strictSame(commits(heard), [8]);
    clock.advance(5);
    await settle();
    t.strictSame(commits(heard), [8, 9]);
    sender.send(append(10));
    sender.send({ type: 'heartbeat', ...envelope, commit: asIndex(9), readContext: 0 });
    await settle();
    t.strictSame(commits(heard), [8, 9, 10], 'it goes with whatever leaves');
  },
);

t.test('transport: newer appends take the place of a commit index that lingers', async (t) => {
  const { sender, clock, heard } = start();
  sender.send(append(7));
  sender.send(append(8));
  sender.send(append(9, 1));
  await settle();
  clock.advance(1000);
  await settle();
  t.strictSame(commits(heard), [9]);
});

t.test('transport: what lingers leaves at once for a peer that waits for it', async (t) => {
  const { sender, heard } = start();
  sender.send(append(7));
  sender.hurry('b');
  await settle();
  t.strictSame(commits(heard), [7]);
});

t.test('transport: only acknowledgements that say nothing new linger', async (t) => {
  const { sender, clock, heard } = start();
  sender.send(answer(10));
  await settle();
  sender.send(answer(10));
  await settle();
  const seen = () => heard.map((m) => m.type === 'append-response' && [m.index, m.reject]);
  t.strictSame(seen(), [[10, false]]);
  clock.advance(5);
  await settle();
  t.equal(heard.length, 2);
  sender.send(answer(9, true));
  await settle();
  t.strictSame(seen().at(-1), [9, true]);
  sender.send(answer(11));
  await settle();
  t.strictSame(seen().at(-1), [11, false]);
});
