/** The volumes of this node's pods: set up before the sandbox, kept current, taken down at the end. */

import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../../src/lib/errors.ts';
import { quantityOf, unitsOf } from '../../../../src/resources/quantity.ts';
import type { FieldContext } from '../fields.ts';
import type { Pod, Volume } from '../kinds.ts';
import type { Mounter, ObjectSource } from '../ports.ts';
import { writeAtomically } from './atomic-writer.ts';
import { checkHostPath } from './host-path.ts';
import { hasPayload, payloadOf } from './payload.ts';
import type { TokenKeeper } from './tokens.ts';

export type VolumesDeps = {
  readonly mounter: Mounter;
  readonly objects: ObjectSource;
  readonly tokens: TokenKeeper;
};

export type SetUpResult =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly volume: string; readonly message: string };

/** Volume sources other than those that this file handles are refused by name. */
const HANDLED = ['emptyDir', 'hostPath', 'configMap', 'secret', 'downwardAPI', 'projected'];

export class PodVolumes {
  readonly #deps: VolumesDeps;
  readonly #root: string;

  /** @param root the agent's directory; volumes live in its pods/ and memory/. */
  constructor(deps: VolumesDeps, root: string) {
    this.#deps = deps;
    this.#root = root;
  }

  /** Prepares the directories; secrets and tokens live on a tmpfs, never on disk. */
  async init(): Promise<void> {
    await mkdir(join(this.#root, 'pods'), { recursive: true, mode: 0o755 });
    await mkdir(this.#memory(), { recursive: true, mode: 0o755 });
    await this.#deps.mounter.mountTmpfs(this.#memory(), { mode: 0o755 });
  }

  /** Sets every volume of the pod up. Idempotent. The first that cannot be had is named. */
  async setUp(fields: FieldContext, signal: AbortSignal): Promise<SetUpResult> {
    for (const volume of fields.pod.spec.volumes ?? []) {
      try {
        const message = await this.#setUpOne(fields, volume, signal);
        if (message !== undefined) return { kind: 'failed', volume: volume.name, message };
      } catch (error) {
        signal.throwIfAborted();
        return { kind: 'failed', volume: volume.name, message: messageOf(error) };
      }
    }
    return { kind: 'ready' };
  }

  /** Brings files of ConfigMaps, Secrets, tokens and the downward API up to date; keeps them where that fails. */
  async refresh(fields: FieldContext, signal: AbortSignal): Promise<void> {
    for (const volume of fields.pod.spec.volumes ?? []) {
      if (!hasPayload(volume)) continue;
      await this.#setUpOne(fields, volume, signal).catch(() => {
        signal.throwIfAborted();
      });
    }
  }

  /** True if the pod has files that change with time or with other objects. */
  needsRefresh(pod: Pod): boolean {
    return (pod.spec.volumes ?? []).some(hasPayload);
  }

  /** Where a volume of the pod lies on the node. */
  pathOf(pod: Pod, volume: Volume): string {
    if (volume.hostPath) return volume.hostPath.path;
    const uid = pod.metadata.uid ?? '';
    const onDisk = volume.emptyDir !== undefined || volume.configMap !== undefined;
    return onDisk
      ? join(this.#root, 'pods', uid, 'volumes', volume.name)
      : join(this.#memory(), uid, volume.name);
  }

  /** Removes what was set up for a pod. Idempotent. */
  async tearDown(podUid: string): Promise<void> {
    this.#deps.tokens.forget(podUid);
    const directory = join(this.#root, 'pods', podUid, 'volumes');
    await this.#deps.mounter.unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
    await rm(join(this.#memory(), podUid), { recursive: true, force: true });
  }

  async #setUpOne(
    fields: FieldContext,
    volume: Volume,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { hostPath, emptyDir } = volume;
    if (hostPath) return checkHostPath(hostPath.path, hostPath.type ?? '');
    const path = this.pathOf(fields.pod, volume);
    if (emptyDir) return this.#setUpEmptyDir(fields.pod, path, emptyDir);
    if (hasPayload(volume)) return this.#writePayload(fields, volume, path, signal);
    const kind = Object.keys(volume).find((key) => key !== 'name' && !HANDLED.includes(key));
    return `volumes of type ${kind ?? 'unknown'} are not supported by this node`;
  }

  async #setUpEmptyDir(
    pod: Pod,
    path: string,
    source: NonNullable<Volume['emptyDir']>,
  ): Promise<undefined> {
    await mkdir(path, { recursive: true });
    const mode = 0o777;
    if (source.medium === 'Memory') {
      const limit = source.sizeLimit === undefined ? 0 : unitsOf(quantityOf(source.sizeLimit));
      const size = limit > 0 ? { sizeBytes: limit } : {};
      await this.#deps.mounter.mountTmpfs(path, { mode, ...size });
    }
    const gid = pod.spec.securityContext?.fsGroup;
    if (gid !== undefined) await chown(path, 0, gid);
    await chmod(path, gid === undefined ? mode : 0o2777);
  }

  async #writePayload(
    fields: FieldContext,
    volume: Volume,
    path: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const tokens = await this.#deps.tokens.tokensFor(fields.pod, volume, signal);
    const { objects } = this.#deps;
    const result = payloadOf({ fields, objects, tokens }, volume);
    if (result.kind === 'missing') return result.message;
    await mkdir(path, { recursive: true, mode: 0o755 });
    await writeAtomically(path, result.payload);
    return undefined;
  }

  #memory(): string {
    return join(this.#root, 'memory');
  }
}
