/** Files in volumes: whole or not at all, current, with their modes; paths that stay inside. */

import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ConfigMap, Pod, Secret } from '../../../../agents/node/pods/kinds.ts';
import type { TokenRequest } from '../../../../agents/node/pods/ports.ts';
import { writeAtomically } from '../../../../agents/node/pods/volumes/atomic-writer.ts';
import { checkHostPath } from '../../../../agents/node/pods/volumes/host-path.ts';
import { memoryMounter } from '../../../../agents/node/pods/volumes/mounter.ts';
import { mountsOf } from '../../../../agents/node/pods/volumes/mounts.ts';
import { payloadOf } from '../../../../agents/node/pods/volumes/payload.ts';
import { TokenKeeper } from '../../../../agents/node/pods/volumes/tokens.ts';
import { PodVolumes } from '../../../../agents/node/pods/volumes/volumes.ts';
import { VirtualClock } from '../../../../src/lib/clock.ts';
import { pod } from './support/records.ts';

const root = await mkdtemp(join(tmpdir(), 'skein-volumes-'));
t.teardown(() => rm(root, { recursive: true, force: true }));
const signal = new AbortController().signal;
let made = 0;

async function directory(): Promise<string> {
  const path = join(root, `d${made++}`);
  await mkdir(path);
  return path;
}

const file = (text: string, mode = 0o644) => ({ data: Buffer.from(text), mode });
const fields = (of: Pod) => ({
  pod: of,
  nodeName: 'node-a',
  podIPs: [],
  hostIPs: [],
  allocatable: { cpuMilli: 1_000, memoryBytes: 1 },
});

class Objects {
  readonly configMaps = new Map<string, ConfigMap>();
  readonly secrets = new Map<string, Secret>();
  configMap = (_: string, name: string) => this.configMaps.get(name);
  secret = (_: string, name: string) => this.secrets.get(name);
  services = () => [];
  put(name: string, data: Record<string, string>, binaryData: Record<string, string> = {}): void {
    this.configMaps.set(name, { metadata: { name, namespace: 'default' }, data, binaryData });
  }
}

t.test('volumes: a write shows all files at once, through a link that is swapped', async (t) => {
  const path = await directory();
  t.equal(
    await writeAtomically(
      path,
      new Map([
        ['a', file('1')],
        ['dir/b', file('2', 0o400)],
      ]),
    ),
    true,
  );
  t.equal(await readFile(join(path, 'a'), 'utf8'), '1');
  t.equal(await readFile(join(path, 'dir/b'), 'utf8'), '2');
  t.equal((await lstat(join(path, '..data/dir/b'))).mode & 0o777, 0o400);
  t.equal(await readlink(join(path, 'a')), '..data/a');
  const first = await readlink(join(path, '..data'));
  t.equal(await writeAtomically(path, new Map([['c', file('3')]])), true);
  t.not(await readlink(join(path, '..data')), first);
  t.same(
    (await readdir(path)).filter((name) => !name.startsWith('..')),
    ['c'],
  );
  t.equal((await readdir(path)).length, 3, 'the old contents are gone');
});

t.test('volumes: the same contents are not written again', async (t) => {
  const path = await directory();
  const payload = new Map([['a', file('1')]]);
  await writeAtomically(path, payload);
  const before = await readlink(join(path, '..data'));
  t.equal(await writeAtomically(path, payload), false);
  t.equal(await readlink(join(path, '..data')), before);
  t.equal(await writeAtomically(path, new Map([['a', file('1', 0o600)]])), true);
});

t.test('volumes: keys, items, modes and missing parts of ConfigMaps and Secrets', async (t) => {
  const objects = new Objects();
  objects.put('map', { a: 'alpha' }, { b: Buffer.from([0, 255]).toString('base64') });
  const build = (source: object, spec: Partial<Pod['spec']> = {}) =>
    payloadOf(
      { fields: fields(pod(spec)), objects, tokens: new Map() },
      { name: 'v', configMap: { name: 'map', ...source } },
    );
  const all = build({ defaultMode: 0o400 });
  t.equal(all.kind, 'built');
  if (all.kind !== 'built') return;
  t.same([...all.payload.keys()], ['a', 'b']);
  t.same(all.payload.get('b'), { data: Buffer.from([0, 255]), mode: 0o400 });
  t.match(build({ items: [{ key: 'a', path: 'x/y', mode: 0o600 }] }), {
    kind: 'built',
    payload: new Map([['x/y', { mode: 0o600 }]]),
  });
  t.match(build({ items: [{ key: 'none', path: 'x' }] }), {
    message: 'references non-existent config key: none',
  });
  t.match(build({ items: [{ key: 'a', path: '../x' }] }), { kind: 'missing' });
  t.match(build({ name: 'absent' }), { message: 'configmap "absent" not found' });
  t.match(build({ name: 'absent', optional: true }), { kind: 'built' });
  const grouped = build({}, { securityContext: { fsGroup: 1001 } });
  if (grouped.kind === 'built') t.match(grouped.payload.get('a'), { gid: 1001, mode: 0o644 });
});

t.test('volumes: a token is its user’s alone, and others may not read it', async (t) => {
  const context = (of: Pod) => ({
    fields: fields(of),
    objects: new Objects(),
    tokens: new Map([['token', 'secret']]),
  });
  const volume = {
    name: 'v',
    projected: { defaultMode: 0o644, sources: [{ serviceAccountToken: { path: 'token' } }] },
  };
  const of = (spec: Partial<Pod['spec']>) => {
    const result = payloadOf(context(pod(spec)), volume);
    return result.kind === 'built' ? result.payload.get('token') : undefined;
  };
  t.match(of({}), { mode: 0o644 });
  t.match(of({ securityContext: { runAsUser: 1000 } }), { mode: 0o600, uid: 1000 });
  t.match(of({ securityContext: { fsGroup: 7 } }), { mode: 0o640, gid: 7 });
});

t.test('volumes: tokens are renewed in time, and kept while none can be had', async (t) => {
  const clock = new VirtualClock();
  const requests: TokenRequest[] = [];
  let failing = false;
  const keeper = new TokenKeeper(
    {
      create: async (request) => {
        if (failing) throw new Error('the API is away');
        requests.push(request);
        const expiresAtMs = clock.nowMs() + request.expirationSeconds * 1000;
        return { token: `t${requests.length}`, expiresAtMs };
      },
    },
    clock,
  );
  const volume = {
    name: 'v',
    projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 1000 } }] },
  };
  const token = async () => (await keeper.tokensFor(pod(), volume, signal)).get('token');
  t.equal(await token(), 't1');
  clock.advance(790_000);
  t.equal(await token(), 't1');
  clock.advance(20_000);
  t.equal(await token(), 't2');
  failing = true;
  clock.advance(900_000);
  t.equal(await token(), 't2', 'still valid');
  clock.advance(200_000);
  await t.rejects(token(), { message: 'the API is away' });
  t.match(requests[0], { serviceAccount: 'default', pod: { name: 'web', uid: 'uid-1' } });
});

t.test('volumes: they are set up, follow their sources, and leave nothing behind', async (t) => {
  const objects = new Objects();
  const home = await directory();
  const tokens = new TokenKeeper(
    { create: () => Promise.reject(new Error('none')) },
    new VirtualClock(),
  );
  const volumes = new PodVolumes({ mounter: memoryMounter, objects, tokens }, home);
  await volumes.init();
  const of = pod({
    volumes: [
      { name: 'map', configMap: { name: 'map', optional: true } },
      { name: 'empty', emptyDir: {} },
      {
        name: 'labels',
        downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] },
      },
    ],
  });
  t.same(await volumes.setUp(fields(of), signal), { kind: 'ready' });
  const at = (index: number) => volumes.pathOf(of, of.spec.volumes?.[index] as never);
  t.equal((await lstat(at(1))).mode & 0o7777, 0o777);
  t.same(
    (await readdir(at(0))).filter((name) => !name.startsWith('..')),
    [],
  );
  objects.put('map', { k: 'v' });
  await volumes.refresh(fields(of), signal);
  t.equal(await readFile(join(at(0), 'k'), 'utf8'), 'v');
  objects.configMaps.clear();
  await volumes.refresh(fields(of), signal);
  await t.rejects(readFile(join(at(0), 'k')), { code: 'ENOENT' });
  await volumes.tearDown('uid-1');
  for (const index of [0, 1, 2]) await t.rejects(lstat(at(index)), { code: 'ENOENT' });
});

t.test('volumes: sub-paths stay inside, are made when absent, and may use variables', async (t) => {
  const home = await directory();
  const tokens = new TokenKeeper(
    { create: () => Promise.reject(new Error('none')) },
    new VirtualClock(),
  );
  const volumes = new PodVolumes({ mounter: memoryMounter, objects: new Objects(), tokens }, home);
  await volumes.init();
  const of = pod({ volumes: [{ name: 'data', emptyDir: {} }] });
  await volumes.setUp(fields(of), signal);
  const path = volumes.pathOf(of, { name: 'data', emptyDir: {} });
  const mount = (more: object) =>
    mountsOf(
      volumes,
      of,
      { name: 'main', volumeMounts: [{ name: 'data', mountPath: '/data', ...more }] },
      new Map([
        ['NAME', 'here'],
        ['ABSOLUTE', '/etc'],
      ]),
    );
  t.match(await mount({ subPath: 'a/b' }), { mounts: [{ hostPath: join(path, 'a/b') }] });
  t.match(await mount({ subPathExpr: '$(NAME)' }), { mounts: [{ hostPath: join(path, 'here') }] });
  t.match(await mount({ subPathExpr: '$(NOWHERE)' }), { message: 'missing value for "NOWHERE"' });
  t.match(await mount({ subPathExpr: '$(ABSOLUTE)' }), { kind: 'refused' });
  t.match(await mount({ subPath: '../x' }), { kind: 'refused' });
  await symlink('/etc', join(path, 'link'));
  t.match(await mount({ subPath: 'link' }), { kind: 'refused', message: /outside the volume/ });
});

t.test('volumes: the type of a hostPath is checked', async (t) => {
  const path = await directory();
  await writeFile(join(path, 'file'), '');
  await chmod(path, 0o755);
  t.equal(await checkHostPath(path, 'Directory'), undefined);
  t.equal(await checkHostPath(join(path, 'file'), 'File'), undefined);
  t.equal(await checkHostPath(join(path, 'new/dir'), 'DirectoryOrCreate'), undefined);
  t.equal(await checkHostPath(join(path, 'new/file'), 'FileOrCreate'), undefined);
  t.equal(
    await checkHostPath(join(path, 'file'), 'Directory'),
    `hostPath type check failed: ${path}/file is not a directory`,
  );
  t.match(await checkHostPath(path, 'Socket'), 'is not a socket file');
  t.match(await checkHostPath('/dev/null', 'BlockDevice'), 'is not a block device');
  t.equal(await checkHostPath('/dev/null', 'CharDevice'), undefined);
});
