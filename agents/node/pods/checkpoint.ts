/**
 * The node's desired pods on its own disk, readable by root alone: each pod, the ConfigMaps and Secrets
 * it needs (sealed), and where its sandbox is. With them a node that is cut off from the cluster, or that
 * reboots while cut off, goes on running what it should.
 */

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { ConfigMap, Pod, Secret } from './kinds.ts';
import type { ObjectSource, Vault } from './ports.ts';
import { containersOf } from './record.ts';

export type SavedSandbox = { readonly id: string; readonly ips: readonly string[] };

export type SavedPod = {
  readonly pod: Pod;
  readonly configMaps: readonly ConfigMap[];
  readonly secrets: readonly Secret[];
};

const MODE = 0o600;
const POD_FILE = 'pod.sealed';
/** Where the pod was before pods were sealed. */
const PLAIN_POD_FILE = 'pod.json';
const SANDBOX_FILE = 'sandbox.json';

export type CheckpointComponents = {
  readonly root: string;
  readonly vault: Vault;
  readonly log: Logger;
};

export class Checkpoints {
  readonly #root: string;
  readonly #vault: Vault;
  readonly #log: Logger;
  readonly #written = new Map<string, string>();
  /** Work per pod, in order: a save must not overtake a removal, nor another save. */
  readonly #turns = new Map<string, Promise<void>>();

  /** Pods are saved below pods/<uid> in `root`, the agent's directory. */
  constructor({ root, vault, log }: CheckpointComponents) {
    this.#root = root;
    this.#vault = vault;
    this.#log = log;
  }

  /** Saves the pod and what it refers to, if anything in it changed. Never rejects: a full disk must not stop pods. */
  async save(pod: Pod, objects: ObjectSource): Promise<void> {
    const uid = pod.metadata.uid ?? '';
    const text = JSON.stringify(savedPod(pod, objects));
    if (this.#written.get(uid) === text) return;
    this.#written.set(uid, text);
    await this.#inTurn(uid, async () => {
      const written = await this.#write(uid, POD_FILE, this.#vault.seal(uid, Buffer.from(text)));
      if (written) await rm(join(this.#directory(uid), PLAIN_POD_FILE), { force: true });
    });
  }

  async saveSandbox(uid: string, sandbox: SavedSandbox): Promise<void> {
    await this.#inTurn(uid, () => this.#write(uid, SANDBOX_FILE, JSON.stringify(sandbox)));
  }

  /** The sandbox saved last; undefined if none was, or it cannot be read. */
  async sandbox(uid: string): Promise<SavedSandbox | undefined> {
    return this.#parse<SavedSandbox>(uid, await this.#bytes(uid, SANDBOX_FILE));
  }

  /** Every saved pod. Unreadable ones are reported and left out. */
  async load(): Promise<SavedPod[]> {
    const uids = await readdir(join(this.#root, 'pods')).catch((): string[] => []);
    const found = await Promise.all(uids.map((uid) => this.#readPod(uid)));
    return found.filter((saved) => saved !== undefined);
  }

  /** Directories of pods, saved or not: what a sweep compares with the pods that exist. */
  async uids(): Promise<string[]> {
    return readdir(join(this.#root, 'pods')).catch((): string[] => []);
  }

  /** Removes everything of the pod. */
  async remove(uid: string): Promise<void> {
    this.#written.delete(uid);
    await this.#inTurn(uid, () => rm(this.#directory(uid), { recursive: true, force: true }));
  }

  async #inTurn(uid: string, work: () => Promise<unknown>): Promise<void> {
    const before = this.#turns.get(uid) ?? Promise.resolve();
    const turn = before
      .catch(() => {})
      .then(work)
      .then(() => {});
    this.#turns.set(uid, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(uid) === turn) this.#turns.delete(uid);
    }
  }

  /** Resolves with false when it cannot. */
  async #write(uid: string, file: string, content: string | Uint8Array): Promise<boolean> {
    const path = join(this.#directory(uid), file);
    try {
      await mkdir(this.#directory(uid), { recursive: true, mode: 0o755 });
      await writeFile(`${path}.next`, content, { mode: MODE });
      await rename(`${path}.next`, path);
      return true;
    } catch (error) {
      this.#log.warn({ uid, error: messageOf(error) }, 'pod not saved on disk');
      return false;
    }
  }

  async #readPod(uid: string): Promise<SavedPod | undefined> {
    const sealed = await this.#bytes(uid, POD_FILE);
    if (sealed === undefined) return this.#parse(uid, await this.#bytes(uid, PLAIN_POD_FILE));
    const text = this.#vault.open(uid, sealed);
    if (text === undefined) {
      const error = 'it was changed, or sealed under the key of another cluster';
      this.#log.warn({ uid, error }, 'saved pod is unreadable');
    }
    return this.#parse(uid, text);
  }

  #parse<T>(uid: string, text: Uint8Array | undefined): T | undefined {
    if (text === undefined) return undefined;
    try {
      return JSON.parse(Buffer.from(text).toString('utf8')) as T;
    } catch (error) {
      this.#log.warn({ uid, error: messageOf(error) }, 'saved pod is unreadable');
      return undefined;
    }
  }

  #bytes(uid: string, file: string): Promise<Buffer | undefined> {
    return readFile(join(this.#directory(uid), file)).catch(() => undefined);
  }

  #directory(uid: string): string {
    return join(this.#root, 'pods', uid);
  }
}

/** Names of the ConfigMaps and Secrets that the pod refers to. */
export function referencesOf(pod: Pod): { configMaps: Set<string>; secrets: Set<string> } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const add = (set: Set<string>, name: string | undefined) => {
    if (name) set.add(name);
  };
  for (const { spec } of containersOf(pod)) {
    for (const { configMapRef, secretRef } of spec.envFrom ?? []) {
      add(configMaps, configMapRef?.name);
      add(secrets, secretRef?.name);
    }
    for (const { valueFrom } of spec.env ?? []) {
      add(configMaps, valueFrom?.configMapKeyRef?.name);
      add(secrets, valueFrom?.secretKeyRef?.name);
    }
  }
  for (const { configMap, secret, projected } of pod.spec.volumes ?? []) {
    add(configMaps, configMap?.name);
    add(secrets, secret?.secretName);
    for (const source of projected?.sources ?? []) {
      add(configMaps, source.configMap?.name);
      add(secrets, source.secret?.name);
    }
  }
  for (const { name } of pod.spec.imagePullSecrets ?? []) add(secrets, name);
  return { configMaps, secrets };
}

/** What is written: without the parts that change with every heartbeat of the object. */
function savedPod(pod: Pod, objects: ObjectSource): SavedPod {
  const namespace = pod.metadata.namespace ?? 'default';
  const { configMaps, secrets } = referencesOf(pod);
  const { resourceVersion: _, managedFields: __, ...metadata } = pod.metadata;
  const { phase, startTime, qosClass } = pod.status ?? {};
  return {
    pod: { ...pod, metadata, status: { phase, startTime, qosClass } },
    configMaps: [...configMaps].flatMap((name) => objects.configMap(namespace, name) ?? []),
    secrets: [...secrets].flatMap((name) => objects.secret(namespace, name) ?? []),
  };
}
