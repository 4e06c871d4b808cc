import t from 'tap';
import { asIndex, asTerm, type Message } from '../../raft/types.ts';
import { Pace } from '../../src/consensus/pace.ts';

const options = { tickMs: 50, heartbeatMs: 100, electionTicks: 8 };
const calm = 8;
const heartbeat = (from = 'b'): Message => ({
  ...{ type: 'heartbeat', from, to: 'a', term: asTerm(1) },
  ...{ commit: asIndex(1), readContext: 0 },
});
const question: Message = { ...heartbeat('a'), to: 'b' } as Message;
const answer: Message = {
  ...{ type: 'heartbeat-response', from: 'b', to: 'a', term: asTerm(1), readContext: 0 },
};

/** A pace that has seen a quiet minute, at 60 s. */
function settled(): Pace {
  const pace = new Pace(options, 0);
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 50) {
    if (nowMs % 100 === 0) pace.received(heartbeat(), nowMs);
    pace.late(1);
    pace.ticks(nowMs);
  }
  return pace;
}

/** Lets `cause` happen in each of some seconds from 60 s on; returns when that is over. */
function repeat(pace: Pace, times: number, cause: (pace: Pace, nowMs: number) => void): number {
  let nowMs = 60_000;
  for (let time = 0; time < times; time++) {
    pace.received(heartbeat(), nowMs);
    cause(pace, nowMs);
    nowMs += 1_000;
    pace.forget('b');
    pace.ticks(nowMs);
  }
  return nowMs;
}

const lateness: Record<string, readonly [(pace: Pace, nowMs: number) => void, number]> = {
  'a leader that was silent': [(pace, nowMs) => pace.received(heartbeat(), nowMs + 350), 11],
  'a timer that fired late': [(pace) => pace.late(300), 12],
  'a slow write': [(pace) => pace.wrote(250), 20],
  'a slow answer': [
    (pace, nowMs) => {
      pace.sent(question, nowMs);
      pace.received(answer, nowMs + 200);
    },
    16,
  ],
};

t.test('pace: a start is careful, a quiet minute brings the shortest wait', async (t) => {
  t.equal(new Pace(options, 0).ticks(0), 12);
  t.equal(settled().ticks(60_000), calm);
});

t.test('pace: the wait grows with what is late again and again, and shrinks later', async (t) => {
  for (const [name, [cause, ticks]] of Object.entries(lateness)) {
    const pace = settled();
    const nowMs = repeat(pace, 3, cause);
    t.equal(pace.ticks(nowMs), ticks, name);
    t.equal(pace.ticks(nowMs + 50_000), ticks, `${name}: it is remembered`);
    t.equal(pace.ticks(nowMs + 60_000), calm, `${name}: and forgotten`);
  }
});

t.test('pace: an accident changes nothing, however many noticed it', async (t) => {
  for (const [name, [cause]] of Object.entries(lateness)) {
    const pace = settled();
    for (let time = 0; time < 10; time++) cause(pace, 60_000);
    t.equal(pace.ticks(61_000), calm, name);
    const twice = settled();
    const endMs = repeat(twice, 2, cause);
    t.equal(twice.ticks(endMs), calm, `${name}: nor do two`);
  }
});

t.test('pace: what cannot be waited for is an outage, and changes nothing', async (t) => {
  const pace = settled();
  const endMs = repeat(pace, 5, (_, nowMs) => {
    pace.received(heartbeat(), nowMs + 10_000);
    pace.late(10_000);
    pace.sent(question, nowMs);
    pace.received(answer, nowMs + 30_000);
  });
  t.equal(pace.ticks(endMs), calm);
});

t.test('pace: a slow disk is waited for up to a limit, as it stays slow', async (t) => {
  const pace = settled();
  const endMs = repeat(pace, 3, () => pace.wrote(60_000));
  t.equal(pace.ticks(endMs), 10 * calm);
});

t.test('pace: a new leader, or one that is gone, has not been silent', async (t) => {
  const pace = settled();
  const endMs = repeat(pace, 3, (_, nowMs) => {
    pace.received(heartbeat('c'), nowMs + 300);
    pace.forget('c');
    pace.received(heartbeat('c'), nowMs + 600);
    pace.sent(question, nowMs + 600);
    pace.forget('b');
    pace.sent(question, nowMs + 900);
    pace.received(answer, nowMs + 901);
  });
  t.equal(pace.ticks(endMs), calm);
});
