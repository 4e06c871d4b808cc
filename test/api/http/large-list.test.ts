/** Lists that are made while they are sent: the same to a client as small ones. */

import t from 'tap';
import { put } from '../../support/store-values.ts';
import { startServer } from './harness.ts';

const CM = '/api/v1/namespaces/default/configmaps';
const OBJECTS = 1_500;

t.test('large list: every shape of it is whole', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const name = (n: number) => `c${String(n).padStart(5, '0')}`;
  for (let n = 0; n < OBJECTS; n++) {
    const metadata = { name: name(n), namespace: 'default', uid: `u${n}` };
    const operations = [put(`/core/configmaps/default/${name(n)}`, { metadata })];
    await server.store.transact({ checks: [], operations });
  }
  const wanted = Array.from({ length: OBJECTS }, (_, n) => name(n));
  const shaped = (as: string) => `application/json;as=${as};v=v1;g=meta.k8s.io`;
  const get = async (path: string, accept: string) => {
    const { code, body, headers } = await server.ask(path, { headers: { accept } });
    t.equal(code, 200);
    return { body, headers };
  };
  const table = await get(CM, shaped('Table'));
  t.equal(table.headers['transfer-encoding'], 'chunked', 'made while it is sent');
  t.match(table.body, { kind: 'Table', metadata: { resourceVersion: String } });
  t.ok(table.body.columnDefinitions.length > 0);
  const rows = table.body.rows as { cells: string[]; object: { metadata: { name: string } } }[];
  t.strictSame(
    rows.map(({ cells, object }) => [cells[0], object.metadata.name]),
    wanted.map((one) => [one, one]),
  );
  const partial = await get(CM, shaped('PartialObjectMetadataList'));
  t.match(partial.body, { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
  const items = partial.body.items as { kind: string; metadata: { name: string } }[];
  t.strictSame(
    items.map(({ metadata }) => metadata.name),
    wanted,
  );
  const page = await get(`${CM}?limit=2`, shaped('Table'));
  t.equal(page.body.rows.length, 2);
  t.equal(page.body.metadata.remainingItemCount, OBJECTS - 2);
  t.ok(page.headers['content-length'], 'a page is sent at once');
});
