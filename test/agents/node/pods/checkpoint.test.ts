import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Checkpoints } from '../../../../agents/node/pods/checkpoint.ts';
import type { Pod, Secret } from '../../../../agents/node/pods/kinds.ts';
import { silentLogger } from '../../../../src/lib/logger.ts';
import { Sealer } from '../../../../src/sealing/sealer.ts';

const WORD = Buffer.from('correct-horse-battery-staple').toString('base64');
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'keeper', namespace: 'default', uid: 'u1', resourceVersion: '7' },
  spec: { containers: [], volumes: [{ name: 'words', secret: { secretName: 'words' } }] },
} as unknown as Pod;
const secret = { metadata: { name: 'words' }, data: { word: WORD } } as unknown as Secret;
const objects = { configMap: () => undefined, secret: () => secret, services: () => [] };
const vaultOf = (byte: number) => new Sealer(Buffer.alloc(32, byte), 'pods on disk');

async function disk(t: Test) {
  const root = await mkdtemp(join(tmpdir(), 'skein-checkpoints-'));
  t.teardown(() => rm(root, { recursive: true }));
  const at = (vault = vaultOf(1)) => new Checkpoints({ root, vault, log: silentLogger });
  const files = async () => {
    const names = await readdir(root, { recursive: true, withFileTypes: true });
    const paths = names.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
    return (await Promise.all(paths.map((path) => readFile(path, 'latin1')))).join('');
  };
  return { root, at, files };
}

t.test(
  'checkpoints: a pod comes back with its Secrets, which are readable in no file',
  async (t) => {
    const { at, files } = await disk(t);
    await at().save(pod, objects);
    await at().saveSandbox('u1', { id: 'box', ips: ['10.0.0.1'] });
    t.notMatch(await files(), new RegExp(`${WORD}|keeper`));
    t.match(await at().load(), [{ pod: { metadata: { name: 'keeper' } }, secrets: [secret] }]);
    t.strictSame(await at().sandbox('u1'), { id: 'box', ips: ['10.0.0.1'] });
    t.strictSame(await at(vaultOf(2)).load(), [], 'another cluster’s are left out');
  },
);

t.test(
  'checkpoints: a pod that an earlier version saved in plain is read, and sealed',
  async (t) => {
    const { root, at, files } = await disk(t);
    await mkdir(join(root, 'pods/u1'), { recursive: true });
    const saved = { pod, configMaps: [], secrets: [secret] };
    await writeFile(join(root, 'pods/u1/pod.json'), JSON.stringify(saved));
    const checkpoints = at();
    t.match(await checkpoints.load(), [saved]);
    await checkpoints.save(pod, objects);
    t.notMatch(await files(), new RegExp(WORD));
    t.match(await at().load(), [{ secrets: [secret] }]);
  },
);
