import { createHash } from 'node:crypto';
import { once } from 'node:events';
import t from 'tap';
import { extract } from 'tar-stream';
import { buildImageArchive, type ImageSpec } from '../../src/lab/image-archive.ts';

const SPEC: ImageSpec = {
  reference: 'tool:1',
  directories: ['bin'],
  files: [
    { path: 'bin/tool', content: 'binary', mode: 0o755 },
    { path: 'etc', content: Buffer.from([0, 255]) },
  ],
  links: [{ path: 'bin/sh', target: 'tool' }],
  command: ['/bin/tool'],
  env: ['A=b'],
  ports: [80],
};

type Entry = {
  name: string;
  mode: number | undefined;
  linkname: string | null | undefined;
  mtime: number;
  content: Buffer;
};

async function unpack(archive: Buffer): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const reader = extract();
  reader.on('entry', ({ name, mode, linkname, mtime }, stream, next) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk) => chunks.push(chunk as Buffer));
    stream.on('end', () => {
      const content = Buffer.concat(chunks);
      entries.set(name, { name, mode, linkname, mtime: mtime?.getTime() ?? -1, content });
      next();
    });
  });
  reader.end(archive);
  await once(reader, 'finish');
  return entries;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const json = (entry: Entry | undefined) => JSON.parse(entry?.content.toString('utf8') ?? 'null');

t.test('image-archive: the same images are the same bytes, whenever they are built', async (t) => {
  const first = await buildImageArchive([SPEC, { ...SPEC, reference: 'tool:2' }], 'amd64');
  await new Promise((resolve) => setTimeout(resolve, 5));
  const second = await buildImageArchive([SPEC, { ...SPEC, reference: 'tool:2' }], 'amd64');
  t.ok(first.equals(second));
  for (const { mtime, name } of (await unpack(first)).values()) t.equal(mtime, 0, name);
});

t.test('image-archive: names are the digests of what they name', async (t) => {
  const entries = await unpack(await buildImageArchive([SPEC], 'amd64'));
  const [manifest] = json(entries.get('manifest.json'));
  t.strictSame(manifest.RepoTags, ['tool:1']);
  const config = entries.get(manifest.Config);
  t.equal(manifest.Config, `${sha256(config?.content ?? Buffer.alloc(0))}.json`);
  const layer = entries.get(manifest.Layers[0])?.content ?? Buffer.alloc(0);
  t.strictSame(json(config).rootfs.diff_ids, [`sha256:${sha256(layer)}`]);
  t.equal(json(config).architecture, 'amd64');
  t.match(json(config).config, {
    Cmd: ['/bin/tool'],
    Env: [/^PATH=/, 'A=b'],
    ExposedPorts: { '80/tcp': {} },
  });
  const files = await unpack(layer);
  t.equal((files.get('bin/tool')?.mode ?? 0) & 0o777, 0o755);
  t.equal((files.get('etc')?.mode ?? 0) & 0o777, 0o644);
  t.equal(files.get('bin/sh')?.linkname, 'tool');
  t.equal(files.get('bin/tool')?.content.toString(), 'binary');
});

t.test('image-archive: what two images share is in it once', async (t) => {
  const entries = await unpack(
    await buildImageArchive([SPEC, { ...SPEC, reference: 'tool:2' }], 'amd64'),
  );
  t.equal(entries.size, 3, 'one layer, one configuration, one manifest');
  t.equal(json(entries.get('manifest.json')).length, 2);
});

t.test('image-archive: another content is another image', async (t) => {
  const other = { ...SPEC, files: [{ path: 'bin/tool', content: 'other' }] };
  const one = json((await unpack(await buildImageArchive([SPEC]))).get('manifest.json'));
  const two = json((await unpack(await buildImageArchive([other]))).get('manifest.json'));
  t.not(one[0].Config, two[0].Config);
  t.not(one[0].Layers[0], two[0].Layers[0]);
});
