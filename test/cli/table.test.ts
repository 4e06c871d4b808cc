import t from 'tap';
import { formatTable } from '../../src/cli/table.ts';

t.test(
  'table: columns are as wide as their widest cell, lines have no trailing space',
  async (t) => {
    const text = formatTable(
      ['NAME', 'N', 'LAST'],
      [
        ['a', 10, 'x'],
        ['longer', undefined, ''],
      ],
    );
    t.equal(text, ['NAME    N   LAST', 'a       10  x', 'longer  -'].join('\n'));
  },
);

t.test('table: without rows the header stands alone', async (t) => {
  t.equal(formatTable(['ID', 'GOOD UNTIL'], []), 'ID  GOOD UNTIL');
});

t.test('table: a row may be shorter than the header', async (t) => {
  t.equal(formatTable(['A', 'B'], [['x']]), 'A  B\nx');
});
