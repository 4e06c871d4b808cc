/**
 * Builds small images without a Docker daemon and without a registry: a docker-archive (the format of
 * `docker save`) with one layer, ready for `docker load`. Same input, same bytes.
 */

import { createHash } from 'node:crypto';
import { pack } from 'tar-stream';

export type ImageFile = {
  /** Absolute path in the image, without the leading slash. */
  readonly path: string;
  readonly content: Uint8Array | string;
  /** Default 0o644. */
  readonly mode?: number;
};

export type ImageLink = { readonly path: string; readonly target: string };

export type ImageSpec = {
  /** `name:tag` under which the image is known. */
  readonly reference: string;
  readonly files: readonly ImageFile[];
  readonly links?: readonly ImageLink[];
  readonly directories?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: readonly string[];
  /** TCP ports the image declares. */
  readonly ports?: readonly number[];
  readonly workingDir?: string;
};

const EPOCH = new Date(0);

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function buildLayer(spec: ImageSpec): Promise<Buffer> {
  const layer = pack();
  for (const name of spec.directories ?? []) {
    layer.entry({ name: `${name}/`, type: 'directory', mode: 0o755, mtime: EPOCH });
  }
  for (const { path, content, mode } of spec.files) {
    layer.entry({ name: path, mode: mode ?? 0o644, mtime: EPOCH }, Buffer.from(content));
  }
  for (const { path, target } of spec.links ?? []) {
    layer.entry({ name: path, type: 'symlink', linkname: target, mtime: EPOCH });
  }
  layer.finalize();
  return collect(layer);
}

/** The archive's bytes. Images are meant to be a few megabytes: everything is held in memory. */
export async function buildImageArchive(
  specs: readonly ImageSpec[],
  architecture = process.arch === 'arm64' ? 'arm64' : 'amd64',
): Promise<Buffer> {
  const archive = pack();
  const manifest: object[] = [];
  const written = new Set<string>();
  const add = (name: string, bytes: Uint8Array) => {
    if (written.has(name)) return;
    written.add(name);
    archive.entry({ name, mtime: EPOCH }, Buffer.from(bytes));
  };
  for (const spec of specs) {
    const layer = await buildLayer(spec);
    const layerName = `${sha256(layer)}/layer.tar`;
    const config = {
      architecture,
      os: 'linux',
      created: EPOCH.toISOString(),
      config: {
        Env: [
          'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          ...(spec.env ?? []),
        ],
        ...(spec.entrypoint ? { Entrypoint: spec.entrypoint } : {}),
        ...(spec.command ? { Cmd: spec.command } : {}),
        ...(spec.workingDir ? { WorkingDir: spec.workingDir } : {}),
        ExposedPorts: Object.fromEntries((spec.ports ?? []).map((port) => [`${port}/tcp`, {}])),
      },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
      history: [{ created: EPOCH.toISOString(), created_by: 'skein' }],
    };
    const configBytes = Buffer.from(JSON.stringify(config));
    const configName = `${sha256(configBytes)}.json`;
    add(layerName, layer);
    add(configName, configBytes);
    manifest.push({ Config: configName, RepoTags: [spec.reference], Layers: [layerName] });
  }
  add('manifest.json', Buffer.from(JSON.stringify(manifest)));
  archive.finalize();
  return collect(archive);
}
