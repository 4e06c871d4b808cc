import fc from 'fast-check';
import t from 'tap';
import { type Choosable, chooseLink } from '../../src/mesh/choose-link.ts';

t.test('choose link: both ends of the same connections choose the same one', async () => {
  const connection = fc.record({ dialledByA: fc.boolean(), sequence: fc.nat(5) });
  const unique = { selector: (c: object) => JSON.stringify(c), maxLength: 6 };
  fc.assert(
    fc.property(
      fc.uniqueArray(connection, unique),
      fc.shuffledSubarray(['a', 'b'], { minLength: 2 }),
      (connections, [a, b]) => {
        const seenFrom = (peer: string, isA: boolean) =>
          connections.map(({ dialledByA, sequence }): Choosable & { key: string } => ({
            key: `${dialledByA} ${sequence}`,
            peer,
            usable: true,
            dialledByUs: dialledByA === isA,
            sequence,
          }));
        if (a === undefined || b === undefined) return false;
        const byA = chooseLink(seenFrom(b, true), a);
        const byB = chooseLink(seenFrom(a, false).reverse(), b);
        return byA?.key === byB?.key;
      },
    ),
  );
});

t.test('choose link: what cannot be used is not chosen', async (t) => {
  const link = { peer: 'b', usable: false, dialledByUs: true, sequence: 9 };
  const other = { peer: 'b', usable: true, dialledByUs: false, sequence: 0 };
  t.equal(chooseLink([link, other], 'a'), other);
  t.equal(chooseLink([link], 'a'), undefined);
});
