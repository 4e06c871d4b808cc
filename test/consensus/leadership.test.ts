import t from 'tap';
import { asIndex, asTerm, type Entry, type RaftStatus } from '../../raft/types.ts';
import { Leadership } from '../../src/consensus/leadership.ts';
import type { LeadershipEvent } from '../../src/consensus/types.ts';
import { silentLogger } from '../../src/lib/logger.ts';

function bench() {
  const leadership = new Leadership(silentLogger);
  const events: string[] = [];
  const note = ({ kind, term }: LeadershipEvent) => void events.push(`${kind} ${term}`);
  leadership.subscribe(note);
  const observe = (role: RaftStatus['role'], term: number, leader?: string) =>
    leadership.observe({ role, term: asTerm(term), leader } as RaftStatus);
  const apply = (kind: Entry['kind'], term: number) =>
    leadership.applied({ kind, term: asTerm(term), index: asIndex(1), data: Buffer.of() });
  return { leadership, events, observe, apply, note };
}

t.test('leadership: it is gained when all of earlier terms is applied, not before', async (t) => {
  const { events, observe, apply } = bench();
  observe('leader', 4, 'a');
  apply('data', 3);
  apply('empty', 3);
  t.strictSame(events, [], 'what is applied yet is of an earlier leader');
  apply('empty', 4);
  t.strictSame(events, ['gained 4']);
  apply('data', 4);
  t.strictSame(events, ['gained 4'], 'once');
});

t.test(
  'leadership: it is lost with the role, also when the next term is won at once',
  async (t) => {
    const { events, observe, apply } = bench();
    observe('leader', 4, 'a');
    apply('empty', 4);
    t.match(observe('leader', 6, 'a'), { lost: true });
    t.strictSame(events, ['gained 4', 'lost 4']);
    apply('empty', 6);
    observe('follower', 7, 'b');
    t.strictSame(events.slice(2), ['gained 6', 'lost 6']);
  },
);

t.test('leadership: who lost it before it was gained hears of neither', async (t) => {
  const { events, observe, apply } = bench();
  observe('leader', 4, 'a');
  observe('follower', 5, undefined);
  apply('empty', 4);
  t.strictSame(events, []);
});

t.test('leadership: whoever listens late hears what is, and nothing after the end', async (t) => {
  const { leadership, observe, apply } = bench();
  observe('leader', 4, 'a');
  apply('empty', 4);
  const late: LeadershipEvent[] = [];
  leadership.subscribe((event) => void late.push(event));
  t.match(late, [{ kind: 'gained', term: 4 }]);
  leadership.stop();
  leadership.stop();
  t.match(late, [{ kind: 'gained' }, { kind: 'lost', term: 4 }]);
});

t.test('leadership: a listener that throws harms no other', async (t) => {
  const { leadership, events, observe, apply, note } = bench();
  leadership.subscribe(() => {
    throw new Error('a bug');
  });
  leadership.subscribe((event) => note(event));
  observe('leader', 4, 'a');
  apply('empty', 4);
  t.strictSame(events, ['gained 4', 'gained 4']);
});
