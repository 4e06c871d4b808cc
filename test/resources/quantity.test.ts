import fc from 'fast-check';
import t from 'tap';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milliOf,
  parseQuantity,
  quantityOf,
  subtractQuantities,
  unitsOf,
} from '../../src/resources/quantity.ts';

t.test('quantity: every spelling has one canonical form', async (t) => {
  const cases: [string | number, string][] = [
    ['0', '0'],
    ['100m', '100m'],
    ['0.1', '100m'],
    ['.1', '100m'],
    ['1.', '1'],
    ['1000m', '1'],
    ['1.5', '1500m'],
    ['1500m', '1500m'],
    ['1024Mi', '1Gi'],
    ['0.5Gi', '512Mi'],
    ['1.5Gi', '1536Mi'],
    ['512', '512'],
    ['1024', '1024'],
    ['1000', '1k'],
    ['1000000', '1M'],
    ['0.5Ki', '512'],
    ['1Ki', '1Ki'],
    ['100Ki', '100Ki'],
    ['1e3', '1e3'],
    ['1E', '1E'],
    ['12e6', '12e6'],
    ['1E3', '1e3'],
    ['-5', '-5'],
    ['+5', '5'],
    ['0.0000000001', '1n'],
    ['123456789n', '123456789n'],
    [2, '2'],
    [0.25, '250m'],
  ];
  for (const [given, canonical] of cases) {
    t.equal(canonicalQuantity(given), canonical, `${given} is ${canonical}`);
  }
});

t.test('quantity: what is no quantity is told apart', async (t) => {
  for (const text of ['', 'abc', '1KB', '1 Gi', '1e', '--1', '.', '1mi', '1.2.3', '1e999999999']) {
    t.equal(parseQuantity(text), undefined, `"${text}" is refused`);
  }
});

t.test('quantity: whole units and thousandths round up', async (t) => {
  t.equal(unitsOf(quantityOf('1500m')), 2);
  t.equal(unitsOf(quantityOf('64Mi')), 67_108_864);
  t.equal(milliOf(quantityOf('0.1')), 100);
  t.equal(milliOf(quantityOf('100500u')), 101);
  t.equal(milliOf(quantityOf(undefined)), 0);
});

t.test('quantity: sums keep the format of the first that counts', async (t) => {
  const sum = addQuantities(quantityOf('512Mi'), quantityOf('512Mi'));
  t.equal(formatQuantity(sum), '1Gi');
  t.equal(formatQuantity(addQuantities(quantityOf('0'), quantityOf('1Ki'))), '1Ki');
  t.equal(formatQuantity(subtractQuantities(quantityOf('1'), quantityOf('100m'))), '900m');
});

t.test('quantity: the canonical form means the same and is stable', async () => {
  const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e2', 'e-3');
  fc.assert(
    fc.property(fc.integer({ min: -1e9, max: 1e9 }), fc.nat(999), suffix, (whole, part, unit) => {
      const text = `${whole}.${part}${unit}`;
      const canonical = canonicalQuantity(text) ?? '';
      const same = compareQuantities(quantityOf(text), quantityOf(canonical)) === 0;
      return same && canonicalQuantity(canonical) === canonical;
    }),
    { numRuns: 500, seed: 7 },
  );
});
