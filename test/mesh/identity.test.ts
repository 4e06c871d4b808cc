import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createIdentity, loadIdentity, parseIdentity } from '../../src/mesh/identity.ts';

t.test('identity: made at first start, the same ever after, for its owner only', async (t) => {
  const path = join(t.testdir(), 'deep', 'node.key');
  const first = await loadIdentity(path);
  t.match(first.id, /^12D3KooW/, 'an Ed25519 peer id');
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal((await loadIdentity(path)).id, first.id);
  t.equal(parseIdentity(first.bytes).id, first.id);
});

t.test('identity: a damaged key file is reported, never replaced', async (t) => {
  const path = join(t.testdir(), 'node.key');
  await writeFile(path, 'not a key', { mode: 0o600 });
  await t.rejects(loadIdentity(path), { code: 'data-damaged', message: new RegExp(path) });
});

t.test('identity: a key that others can read is refused with the remedy', async (t) => {
  const path = join(t.testdir(), 'node.key');
  await writeFile(path, (await createIdentity()).bytes);
  await chmod(path, 0o644);
  await t.rejects(loadIdentity(path), { code: 'config-invalid', message: /chmod 600/ });
});
