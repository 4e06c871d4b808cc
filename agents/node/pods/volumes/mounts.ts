/** volumeMounts of a container as bind mounts, sub-paths resolved inside their volume. */

import { mkdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { expand } from '../expand.ts';
import type { Pod, VolumeMount } from '../kinds.ts';
import type { RuntimeMount } from '../ports.ts';
import type { AnyContainer } from '../record.ts';
import type { PodVolumes } from './volumes.ts';

export type MountsResult =
  | { readonly kind: 'built'; readonly mounts: readonly RuntimeMount[] }
  | { readonly kind: 'refused'; readonly message: string };

type PathResult = { readonly path: string } | { readonly refused: string };

const PROPAGATION = { HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

/** Every volumeMount of `spec`, or why one is impossible. */
export async function mountsOf(
  volumes: PodVolumes,
  pod: Pod,
  spec: AnyContainer,
  env: ReadonlyMap<string, string>,
): Promise<MountsResult> {
  const mounts: RuntimeMount[] = [];
  for (const mount of spec.volumeMounts ?? []) {
    const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
    if (volume === undefined) {
      return { kind: 'refused', message: `volume "${mount.name}" not found` };
    }
    const root = volumes.pathOf(pod, volume);
    const resolved = await hostPathOf(root, mount, env);
    if ('refused' in resolved) return { kind: 'refused', message: resolved.refused };
    const propagation = propagationOf(mount);
    // Files the agent itself maintains are not the container's to write.
    const managed = !volume.emptyDir && !volume.hostPath;
    mounts.push({
      hostPath: resolved.path,
      containerPath: isAbsolute(mount.mountPath) ? mount.mountPath : `/${mount.mountPath}`,
      readOnly: mount.readOnly === true || managed,
      ...(propagation ? { propagation } : {}),
    });
  }
  return { kind: 'built', mounts };
}

async function hostPathOf(
  root: string,
  mount: VolumeMount,
  env: ReadonlyMap<string, string>,
): Promise<PathResult> {
  const sub = subPathOf(mount, env);
  if (sub === undefined) return { path: root };
  if ('refused' in sub) return sub;
  const wanted = join(root, sub.path);
  const directory = await stat(root).catch(() => undefined);
  if ((await stat(wanted).catch(() => undefined)) === undefined) {
    await mkdir(wanted, { recursive: true, mode: (directory?.mode ?? 0o755) & 0o777 });
  }
  // A link planted in the volume must not lead the mount out of it.
  const [realRoot, realWanted] = await Promise.all([realpath(root), realpath(wanted)]);
  const inside = realWanted === realRoot || realWanted.startsWith(`${realRoot}/`);
  return inside
    ? { path: realWanted }
    : { refused: `subPath "${sub.path}" of volume "${mount.name}" leads outside the volume` };
}

function subPathOf(mount: VolumeMount, env: ReadonlyMap<string, string>): PathResult | undefined {
  const { subPath, subPathExpr } = mount;
  let path = subPath;
  if (subPathExpr) {
    const missing: string[] = [];
    path = expand(subPathExpr, (name) => {
      const value = env.get(name);
      if (value === undefined) missing.push(name);
      return value;
    });
    if (missing.length > 0) return { refused: `missing value for "${missing[0]}"` };
  }
  if (!path) return undefined;
  if (isAbsolute(path))
    return { refused: `error SubPath \`${path}\` must not be an absolute path` };
  if (path.split('/').includes('..'))
    return { refused: `unable to provision SubPath \`${path}\`: must not contain '..'` };
  return { path };
}

function propagationOf({ mountPropagation }: VolumeMount): RuntimeMount['propagation'] {
  if (mountPropagation === 'HostToContainer' || mountPropagation === 'Bidirectional') {
    return PROPAGATION[mountPropagation];
  }
  return undefined;
}
