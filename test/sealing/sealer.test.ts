import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { SEAL_OVERHEAD_BYTES, Sealer } from '../../src/sealing/sealer.ts';

const KEY = Buffer.alloc(32, 7);
const sealer = new Sealer(KEY, 'test');
const nonceOf = (sealed: Buffer): string => sealed.subarray(0, 12).toString('hex');

t.test('sealer: what is sealed opens to the same bytes, at its place only', async (t) => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      fc.uint8Array({ maxLength: 300 }),
      (place, other, value) => {
        const sealed = sealer.seal(place, value);
        const opened = sealer.open(place, sealed);
        const elsewhere = place === other ? undefined : sealer.open(other, sealed);
        return (
          opened?.equals(value) === true &&
          elsewhere === undefined &&
          sealed.length === value.length + SEAL_OVERHEAD_BYTES
        );
      },
    ),
    { numRuns: 300 },
  );
  t.equal(new Sealer(KEY, 'another purpose').open('p', sealer.seal('p', KEY)), undefined);
  t.equal(new Sealer(Buffer.alloc(32, 8), 'test').open('p', sealer.seal('p', KEY)), undefined);
});

t.test('sealer: a value changed in any byte, cut or lengthened does not open', async (t) => {
  const sealed = sealer.seal('place', Buffer.from('correct horse'));
  for (let at = 0; at < sealed.length; at++) {
    const bent = Buffer.from(sealed);
    bent[at] = (bent[at] ?? 0) ^ 1;
    if (sealer.open('place', bent) !== undefined) t.fail(`byte ${at} may be changed`);
  }
  for (let length = 0; length < sealed.length; length++) {
    if (sealer.open('place', sealed.subarray(0, length)))
      t.fail(`it may be cut to ${length} bytes`);
  }
  t.equal(sealer.open('place', Buffer.concat([sealed, Buffer.alloc(1)])), undefined);
  t.ok(sealer.open('place', sealed), 'untouched it opens');
});

t.test('sealer: equal input gives equal bytes; different input never the same nonce', async (t) => {
  const again = new Sealer(Buffer.from(KEY), 'test');
  const value = Buffer.from('value');
  t.strictSame(sealer.seal('place', value), again.seal('place', value));
  const nonces = new Set<string>();
  let inputs = 0;
  for (let place = 0; place < 60; place++) {
    for (let length = 0; length < 60; length++) {
      inputs++;
      nonces.add(nonceOf(sealer.seal('p'.repeat(place), Buffer.from('p'.repeat(length)))));
    }
  }
  t.equal(nonces.size, inputs, 'not even where place and value run into one another');
});

t.test('sealer: neither inspection nor JSON shows a key', async (t) => {
  const shown = inspect(sealer, { depth: 9, showHidden: true }) + JSON.stringify(sealer);
  t.notMatch(shown, /07 ?07|BwcH/);
});
