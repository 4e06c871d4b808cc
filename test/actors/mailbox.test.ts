import t from 'tap';
import { Mailbox } from '../../src/actors/mailbox.ts';

const all = <M>(mailbox: Mailbox<M>): M[] => {
  const got: M[] = [];
  for (let next = mailbox.take(); next !== undefined; next = mailbox.take()) got.push(next.message);
  return got;
};

t.test('mailbox: first in, first out, and full means refused', async (t) => {
  const mailbox = new Mailbox<number>({ capacity: 2 });
  t.equal(mailbox.offer(1).kind, 'queued');
  t.equal(mailbox.offer(2).kind, 'queued');
  t.equal(mailbox.offer(3).kind, 'rejected');
  t.equal(mailbox.depth, 2);
  t.strictSame(all(mailbox), [1, 2]);
});

t.test('mailbox: drop-oldest makes room and tells what was lost', async (t) => {
  const mailbox = new Mailbox<number>({ capacity: 2, onFull: () => 'drop-oldest' });
  for (const n of [1, 2]) mailbox.offer(n);
  t.strictSame(mailbox.offer(3), { kind: 'dropped-oldest', dropped: 1 });
  t.strictSame(all(mailbox), [2, 3]);
});

t.test('mailbox: a coalesced message takes the place of the waiting one', async (t) => {
  type Beat = { node: string; at: number };
  const onFull = ({ node }: Beat) => ({ coalesce: node });
  const mailbox = new Mailbox<Beat>({ capacity: 2, onFull });
  mailbox.offer({ node: 'a', at: 1 });
  mailbox.offer({ node: 'b', at: 1 });
  t.equal(mailbox.offer({ node: 'a', at: 2 }).kind, 'coalesced');
  t.equal(mailbox.offer({ node: 'c', at: 1 }).kind, 'rejected', 'another key finds it full');
  t.strictSame(all(mailbox), [
    { node: 'a', at: 2 },
    { node: 'b', at: 1 },
  ]);
  t.equal(mailbox.offer({ node: 'a', at: 3 }).kind, 'queued', 'a taken key is free again');
});

t.test('mailbox: kinds of message may overflow in different ways', async (t) => {
  const onFull = (text: string) => (text.startsWith('!') ? 'drop-oldest' : 'reject');
  const mailbox = new Mailbox<string>({ capacity: 1, onFull });
  mailbox.offer('a');
  t.equal(mailbox.offer('b').kind, 'rejected');
  t.equal(mailbox.offer('!c').kind, 'dropped-oldest');
  t.strictSame(all(mailbox), ['!c']);
});

t.test('mailbox: urgent messages pass a full queue and overtake it', async (t) => {
  const mailbox = new Mailbox<string>({ capacity: 1 });
  mailbox.offer('a');
  mailbox.offerUrgent('tick');
  mailbox.offerUrgent('tock');
  t.strictSame(all(mailbox), ['tick', 'tock', 'a']);
});
