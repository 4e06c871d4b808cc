import t from 'tap';
import { Succession } from '../../src/consensus/succession.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { seededRandom } from '../../src/lib/random.ts';

/** A voter that lost its leader; returns when it campaigned, in milliseconds. */
function bench(options: { seed?: number; promisedMs?: number } = {}) {
  const { seed = 1, promisedMs = 0 } = options;
  const clock = new VirtualClock();
  const world = { vacant: true };
  const campaigns: number[] = [];
  const succession = new Succession({
    clock,
    random: seededRandom(seed),
    vacant: () => world.vacant,
    campaign: () => void campaigns.push(clock.monotonicMs()),
    promisedMs,
  });
  return { clock, world, campaigns, succession };
}

t.test(
  'succession: voters that lost a leader campaign soon, and not at the same time',
  async (t) => {
    const firsts = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const { clock, succession, campaigns } = bench({ seed });
      succession.begin();
      clock.advance(125);
      t.ok(campaigns[0] !== undefined && campaigns[0] >= 5, `seed ${seed}: ${campaigns[0]} ms`);
      firsts.add(Math.round(campaigns[0] ?? 0));
    }
    t.ok(firsts.size > 10, 'spread over the time');
  },
);

t.test('succession: it tries a few times, then leaves it to the ordinary timeout', async (t) => {
  const { clock, succession, campaigns } = bench();
  succession.begin();
  clock.advance(60_000);
  t.equal(campaigns.length, 4);
});

t.test('succession: somebody else leads, and it stops', async (t) => {
  const { clock, world, succession, campaigns } = bench();
  succession.begin();
  clock.advance(125);
  const before = campaigns.length;
  world.vacant = false;
  clock.advance(60_000);
  t.equal(campaigns.length, before);
  const stopped = bench();
  stopped.succession.begin();
  stopped.succession.stop();
  stopped.clock.advance(60_000);
  t.same(stopped.campaigns, []);
});

t.test('succession: a promise to the leader is waited for, once', async (t) => {
  const { clock, succession, campaigns } = bench({ promisedMs: 300 });
  succession.begin();
  clock.advance(1_000);
  const [first = 0, second = 0] = campaigns;
  t.ok(first >= 305 && first <= 425, `${first} ms`);
  t.ok(second - first <= 125, `${second - first} ms later`);
});
