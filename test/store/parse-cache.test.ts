import t from 'tap';
import { ParseCache, type Parsed } from '../../src/store/parse-cache.ts';
import { StoredVersion } from '../../src/store/stored-version.ts';
import type { Revision } from '../../src/store/types.ts';

class Text implements Parsed {
  readonly textBytes: number;
  held = true;
  used = false;

  constructor(textBytes: number) {
    this.textBytes = textBytes;
  }

  takeUsed(): boolean {
    const { used } = this;
    this.used = false;
    return used;
  }

  forget(): void {
    this.held = false;
  }
}

t.test('parse cache: keeps the newest within its budget', async (t) => {
  const cache = new ParseCache(1_000);
  const texts = Array.from({ length: 20 }, () => new Text(100));
  for (const text of texts) cache.add(text);
  t.equal(cache.bytes, 1_000);
  t.strictSame(
    texts.map(({ held }) => held),
    texts.map((_, at) => at >= 10),
  );
});

t.test('parse cache: what is used stays, for as long as it is used', async (t) => {
  const cache = new ParseCache(1_000);
  const busy = new Text(100);
  cache.add(busy);
  for (let n = 0; n < 10_000; n++) {
    busy.used = true;
    cache.add(new Text(100));
  }
  t.ok(busy.held);
  for (let n = 0; n < 30; n++) cache.add(new Text(100));
  t.notOk(busy.held);
});

t.test('parse cache: one that is larger than the budget is not kept', async (t) => {
  const cache = new ParseCache(1_000);
  const large = new Text(5_000);
  cache.add(large);
  t.notOk(large.held);
  t.equal(cache.bytes, 0);
});

t.test('stored version: parsed once while it is in use, and again after that', async (t) => {
  const version = (text: string) =>
    new StoredVersion({
      key: '/x',
      revision: 1 as Revision,
      createRevision: 1 as Revision,
      bytes: Buffer.from(JSON.stringify({ text })),
      revisionOffset: -1,
    });
  const one = version('one');
  const first = one.object;
  t.equal(one.object, first);
  const filler = 'x'.repeat(1024 * 1024);
  for (let n = 0; n < 70; n++) version(`${n}${filler}`).object;
  t.not(one.object, first, 'forgotten meanwhile');
  t.same(one.object, first);
});
