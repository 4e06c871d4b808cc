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

t.test('pace: a start is careful, a quiet minute brings the shortest wait', async (t) => {
  t.equal(new Pace(options, 0).ticks(0), 12);
  t.equal(settled().ticks(60_000), calm);
});

t.test(
  'pace: the wait grows at once with what is late, and shrinks after a quiet while',
  async (t) => {
    const causes: Record<string, readonly [(pace: Pace) => void, number]> = {
      'a leader that was silent': [(pace) => pace.received(heartbeat(), 60_300), 15],
      'a timer that fired late': [(pace) => pace.late(300), 20],
      'a slow write': [(pace) => pace.wrote(250), 20],
      'a slow answer': [
        (pace) => {
          pace.sent(question, 60_000);
          pace.received(answer, 60_200);
        },
        16,
      ],
    };
    for (const [name, [cause, ticks]] of Object.entries(causes)) {
      const pace = settled();
      cause(pace);
      t.equal(pace.ticks(60_300), ticks, name);
      t.equal(pace.ticks(89_000), ticks, `${name}: it is remembered`);
      t.equal(pace.ticks(121_000), calm, `${name}: and forgotten`);
    }
  },
);

t.test('pace: what cannot be waited for is an outage, and changes nothing', async (t) => {
  const pace = settled();
  pace.received(heartbeat(), 70_000);
  pace.late(10_000);
  pace.sent(question, 60_000);
  pace.received(answer, 90_000);
  t.equal(pace.ticks(60_050), calm);
});

t.test('pace: a slow disk is waited for up to a limit, as it stays slow', async (t) => {
  const pace = settled();
  pace.wrote(60_000);
  t.equal(pace.ticks(60_000), 10 * calm);
});

t.test('pace: a new leader, or one that is gone, has not been silent', async (t) => {
  const pace = settled();
  pace.received(heartbeat('c'), 60_500);
  t.equal(pace.ticks(60_500), calm);
  pace.forget('c');
  pace.received(heartbeat('c'), 61_000);
  t.equal(pace.ticks(61_000), calm);
  pace.sent(question, 61_000);
  pace.forget('b');
  pace.sent(question, 61_500);
  pace.received(answer, 61_501);
  t.equal(pace.ticks(61_501), calm, 'who came back has not answered slowly');
});
