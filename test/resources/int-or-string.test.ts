import t from 'tap';
import { rollingLimits, scaledValue } from '../../src/resources/int-or-string.ts';

t.test('int-or-string: the surge rounds up and the unavailable down', async (t) => {
  t.same(rollingLimits('25%', '25%', 3), { surge: 1, unavailable: 0 });
  t.same(rollingLimits('25%', '25%', 10), { surge: 3, unavailable: 2 });
  t.same(rollingLimits(1, 0, 3), { surge: 1, unavailable: 0 });
});

t.test('int-or-string: an update that could never proceed may take one pod away', async (t) => {
  t.same(rollingLimits('0%', '10%', 3), { surge: 0, unavailable: 1 });
  t.same(rollingLimits(0, 0, 3), { surge: 0, unavailable: 1 });
});

t.test('int-or-string: what is neither number nor percentage has no value', async (t) => {
  t.equal(scaledValue('half', 10, 'up'), undefined);
  t.equal(scaledValue(undefined, 10, 'up'), undefined);
});
