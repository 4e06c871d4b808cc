import fc from 'fast-check';
import t from 'tap';
import { SortedMap } from '../../src/store/sorted-map.ts';

const key = fc
  .tuple(fc.constantFrom('/a/', '/a/b/', '/a-/', '/b/', ''), fc.nat(40))
  .map(([prefix, number]) => `${prefix}${number}`);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ set: key, value: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ remove: key }) },
  { weight: 1, arbitrary: fc.constant({ view: true } as const) },
);

/** The naive twin: sorts at every question. */
function naive(map: ReadonlyMap<string, number>, prefix: string, after: string | undefined) {
  return [...map]
    .filter(([name]) => name.startsWith(prefix) && (after === undefined || name > after))
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, value]) => value);
}

t.test('sorted map: agrees with a naive twin, and views stay as they were', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), key, key, (steps, prefix, after) => {
      const map = new SortedMap<number>();
      const twin = new Map<string, number>();
      const views: [ReturnType<typeof map.view>, Map<string, number>][] = [];
      for (const action of steps) {
        if ('set' in action) {
          if (map.set(action.set, action.value) !== twin.get(action.set)) return false;
          twin.set(action.set, action.value);
        } else if ('remove' in action) {
          if (map.delete(action.remove) !== twin.get(action.remove)) return false;
          twin.delete(action.remove);
        } else views.push([map.view(), new Map(twin)]);
      }
      for (const [reader, expected] of [[map, twin] as const, ...views]) {
        if (reader.size !== expected.size) return false;
        for (const from of [undefined, after]) {
          for (const under of ['', '/', '/a/', '/a', prefix]) {
            const values = naive(expected, under, from);
            if ([...reader.values(under, from)].join() !== values.join()) return false;
            if (reader.count(under, from) !== values.length) return false;
          }
        }
      }
      return [...twin].every(([name, value]) => map.get(name) === value);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

t.test(
  'sorted map: holds many blocks in order, also when filled and emptied at random',
  async (t) => {
    const map = new SortedMap<number>();
    const order = Array.from({ length: 20_000 }, (_, at) => (at * 7919) % 20_000);
    const name = (number: number) => `/k/${String(number).padStart(6, '0')}`;
    for (const number of order) map.set(name(number), number);
    t.strictSame(
      [...map.values('/k/')],
      order.toSorted((left, right) => left - right),
    );
    t.equal(map.count('/k/', name(4_999)), 15_000);
    const view = map.view();
    for (const number of order.slice(0, 19_000)) map.delete(name(number));
    t.equal(map.size, 1_000);
    t.equal([...map.values('/k/0')].length, 1_000);
    t.equal([...view.values('/k/')].length, 20_000);
  },
);
