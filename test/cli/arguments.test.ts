import t from 'tap';
import { oneOf, percent, seconds, wholeNumber } from '../../src/cli/arguments.ts';

const refused = (message: RegExp) => ({ code: 'commander.invalidArgument', message });

t.test('arguments: durations are digits with units, or seconds', async (t) => {
  for (const [text, value] of [
    ['90', 90],
    ['90s', 90],
    ['10m', 600],
    ['24h', 86_400],
    ['7d', 604_800],
    ['1h30m', 5400],
    ['0', 0],
  ] as const) {
    t.equal(seconds(text), value, text);
  }
  for (const text of ['', 's', '10 m', '-5s', '1.5h', '10x', 'h1', '1w', '١s', '1e3']) {
    t.throws(() => seconds(text), refused(/^Expected a duration such as 90s/), text);
  }
});

t.test('arguments: whole numbers are digits, and nothing that only converts to one', async (t) => {
  t.equal(wholeNumber('0'), 0);
  t.equal(wholeNumber('42'), 42);
  for (const text of ['', ' ', '-1', '1.5', '1e3', '0x10', 'three', '9'.repeat(20)]) {
    t.throws(() => wholeNumber(text), refused(/whole number of at least 0/), text);
  }
});

t.test('arguments: a share lies between 0 and 100', async (t) => {
  t.equal(percent('0'), 0);
  t.equal(percent('12.5'), 12.5);
  t.equal(percent('100'), 100);
  for (const text of ['', '-1', '100.1', 'half', 'NaN']) {
    t.throws(() => percent(text), refused(/from 0 to 100/), text);
  }
});

t.test('arguments: a word is one of those there are', async (t) => {
  const format = oneOf('text', 'json');
  t.equal(format('json'), 'json');
  for (const text of ['', 'JSON', 'xml']) {
    t.throws(() => format(text), refused(/Expected text or json/), text);
  }
});
