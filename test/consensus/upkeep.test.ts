/** A member that gets nothing done: noticed, replaced as leader, and not elected before it works again. */

import t from 'tap';
import { asIndex } from '../../raft/types.ts';
import { timingOf } from '../../src/consensus/consensus-options.ts';
import { StallWatch } from '../../src/consensus/stall-watch.ts';
import { Upkeep } from '../../src/consensus/upkeep.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { bytes, Cluster } from '../raft/support/cluster.ts';

const STALL_MS = 5_000;

/** Three voters led by `a`, which has an upkeep; `run` lets time pass for all. */
function bench() {
  const clock = new VirtualClock();
  const cluster = new Cluster(['a', 'b', 'c'], { electionTicks: 8, heartbeatTicks: 2 });
  const { node } = cluster.elect('a');
  const engine = { writeAgeMs: 0, applied: node.status().applied };
  const upkeep = new Upkeep(
    {
      ...{ clock, logger: silentLogger, engine, changeContext: () => new Uint8Array() },
      use: (action) => action(node),
    },
    timingOf({}),
  );
  const world = { stuck: false, hanging: false };
  const run = (ms: number) => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(50);
      if (!world.stuck) engine.applied = node.status().applied;
      engine.writeAgeMs = world.hanging ? engine.writeAgeMs + 50 : 0;
      upkeep.tick();
      cluster.tick(1);
      cluster.leader?.node.propose([bytes('x')]);
    }
  };
  return { cluster, upkeep, run, world, leader: () => cluster.leader?.id };
}

for (const [what, broken] of [
  ['whose disk hangs', { hanging: true, stuck: false }],
  ['whose state machine is stuck while commits go on', { hanging: false, stuck: true }],
] as const) {
  t.test(`stalls: a leader ${what} hands over, and is not elected again`, async (t) => {
    const { cluster, run, world, leader } = bench();
    run(20_000);
    t.equal(leader(), 'a', 'a leader that works leads on');
    Object.assign(world, broken);
    run(STALL_MS - 200);
    t.equal(leader(), 'a');
    run(1_000);
    t.not(leader(), 'a');
    cluster.get('a').node.campaign();
    cluster.get(leader() ?? 'b').node.transferLeadership('a');
    run(1_000);
    t.not(leader(), 'a', 'not even when it is told to take over');
    Object.assign(world, { hanging: false, stuck: false });
    run(1_000);
    cluster.get(leader() ?? 'b').node.transferLeadership('a');
    run(1_000);
    t.equal(leader(), 'a', 'it works again');
  });
}

t.test('stalls: a hand-over that nobody takes goes to the next voter', async (t) => {
  const { cluster, run, world, leader } = bench();
  cluster.get('b').node.holdBack('the same trouble');
  world.stuck = true;
  run(STALL_MS + 3_000);
  t.equal(leader(), 'c');
});

t.test('stalls: work that goes on slowly is none', async (t) => {
  const watch = new StallWatch({ diskMs: STALL_MS, applyMs: STALL_MS });
  const at = (nowMs: number, applied: number, commit: number, writeAgeMs = 0) =>
    watch.observe({ nowMs, writeAgeMs, commit: asIndex(commit), applied: asIndex(applied) });
  for (let second = 0; second < 60; second++) {
    t.equal(at(second * 1000, second, 1000), undefined, 'one entry a second is progress');
  }
  t.equal(at(60_000, 1000, 1000), undefined);
  t.equal(at(90_000, 1000, 1000), undefined, 'idle is no stall');
  t.equal(at(91_000, 1000, 1001), undefined, 'it counts from the commit on');
  t.strictSame(at(96_000, 1000, 1001), { of: 'apply', ageMs: 5_000 });
  t.strictSame(at(96_000, 1000, 1001, 7_000), { of: 'disk', ageMs: 7_000 }, 'the cause is named');
  t.equal(at(96_100, 1001, 1001), undefined);
});
