import { inspect } from 'node:util';
import t from 'tap';
import { ClusterKey } from '../../src/sealing/cluster-key.ts';

t.test(
  'cluster key: its text brings it back, and a mistyped one is refused without being repeated',
  async (t) => {
    const key = ClusterKey.generate();
    const text = key.toText();
    t.equal(ClusterKey.fromText(`  ${text}\n`).id, key.id);
    t.not(ClusterKey.generate().id, key.id);
    const swapped = text.slice(0, -3) + (text.at(-3) === 'A' ? 'B' : 'A') + text.slice(-2);
    for (const wrong of [
      swapped,
      text.slice(0, -1),
      `${text}A`,
      text.replace('1.', '2.'),
      '',
      'x',
    ]) {
      const read = () => ClusterKey.fromText(wrong);
      t.throws(read, { code: 'config-invalid' });
      t.throws(read, { message: /^(?!.*(?:skein-key1\.[A-Za-z0-9_-]{20}))/ }, 'not repeated');
    }
  },
);

t.test('cluster key: members of an older cluster come to the same one by themselves', async (t) => {
  const pem = '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n';
  t.equal(ClusterKey.fromAuthority(pem).id, ClusterKey.fromAuthority(`${pem}\n`).id);
  t.not(ClusterKey.fromAuthority(pem.replace('MC4', 'MC5')).id, ClusterKey.fromAuthority(pem).id);
});

t.test(
  'cluster key: a data key opens under the key that wrapped it, and under no other',
  async (t) => {
    const key = ClusterKey.generate();
    const wrapped = key.makeDataKey();
    const sealed = key.unwrap(wrapped).seal('place', Buffer.from('value'));
    const again = ClusterKey.fromText(key.toText()).unwrap(JSON.parse(JSON.stringify(wrapped)));
    t.equal(again.open('place', sealed)?.toString(), 'value');
    t.throws(() => ClusterKey.generate().unwrap(wrapped), {
      code: 'key-missing',
      message: /skein secrets key/,
    });
    const other = key.makeDataKey();
    t.not(other.id, wrapped.id);
    t.throws(() => key.unwrap({ ...wrapped, wrapped: other.wrapped }), { code: 'data-damaged' });
    t.notMatch(
      inspect(key, { depth: 9, showHidden: true }),
      new RegExp(key.toText().slice(11, 30)),
    );
  },
);
