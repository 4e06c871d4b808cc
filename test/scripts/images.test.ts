import t from 'tap';
import { buildImages } from '../../scripts/lib/images.ts';

t.test('images: the archive is the same whenever it is built, and small', async (t) => {
  const [one, two] = await Promise.all([buildImages(), buildImages()]);
  t.ok(one.equals(two));
  t.ok(one.byteLength < 40 * 2 ** 20, `${(one.byteLength / 2 ** 20).toFixed(0)} MiB`);
});
