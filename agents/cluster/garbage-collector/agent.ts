/**
 * The garbage collector. The graph of owners is the caches themselves, with an index by owner in each; nothing is kept
 * beside them that could disagree. An owner that the cache does not have is looked up before anything is deleted
 * for its absence, and every deletion names the uid and version it was decided on.
 */

import { isConflict, isNotFound } from '../../../src/client/errors.ts';
import { type Reconciler, runReconciler } from '../../../src/client/reconciler.ts';
import type { KindMap, KindName, ReconcileResult } from '../../../src/client/types.ts';
import { unreachable } from '../../../src/lib/invariant.ts';
import type { KubeObject, OwnerReference, ResourceKind } from '../../../src/resources/types.ts';
import { metadataInformer, type SweptKind, sweptKinds } from '../cluster-kinds.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { deleteIfPresent } from '../remove.ts';
import {
  decideOwned,
  decideOwner,
  FOREGROUND,
  isWaiting,
  ORPHAN,
  type OwnerState,
  unblocked,
  withoutOwners,
} from './decide.ts';

export type GarbageCollectorOptions = {
  /** Every kind the API serves. */
  readonly kinds: readonly ResourceKind[];
};

const NAME = 'garbage-collector';
const OWNER_INDEX = 'garbage-collector/owner-uid';

type Item = { readonly kind: KindName; readonly object: KubeObject };

/** The garbage collector as a cluster singleton. */
export function createGarbageCollector(deps: ClusterAgentDeps, options: GarbageCollectorOptions) {
  const kinds = sweptKinds(options.kinds);
  return controller(deps, { name: NAME, component: 'garbage-collector-controller' }, (context) =>
    new GarbageCollector(context, kinds).run(),
  );
}

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #kinds: ReadonlyMap<string, SweptKind>;

  constructor(context: ControllerContext, kinds: readonly SweptKind[]) {
    this.#context = context;
    this.#kinds = new Map(kinds.map((kind) => [kind.kind, kind]));
  }

  async run(): Promise<void> {
    const { client, signal } = this.#context;
    const unsubscribes: (() => void)[] = [];
    for (const { kind } of this.#kinds.values()) {
      metadataInformer(client, kind).addIndex(OWNER_INDEX, ownerUids);
    }
    // A graph with holes would show owners as absent that are merely not read yet.
    for (const { kind } of this.#kinds.values()) await client.informer(kind).whenSynced(signal);
    const reconciler = runReconciler({
      ...this.#context,
      name: NAME,
      concurrency: 8,
      watches: [],
      reconcile: (key) => this.#reconcile(key),
    });
    for (const { kind } of this.#kinds.values()) unsubscribes.push(this.#watch(kind, reconciler));
    try {
      await reconciler.stopped;
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  #watch(kind: KindName, reconciler: Reconciler): () => void {
    return metadataInformer(this.#context.client, kind).subscribe((event) => {
      const { object } = event;
      const { ownerReferences, deletionTimestamp, uid } = object.metadata;
      const replaced =
        event.type === 'modified' && event.previous.metadata.uid !== uid
          ? event.previous
          : undefined;
      if (event.type === 'deleted') this.#addNeighbours(reconciler, object);
      else if (ownerReferences !== undefined || deletionTimestamp !== undefined) {
        reconciler.add(itemKey(kind, object));
      }
      if (replaced) this.#addNeighbours(reconciler, replaced);
      if (event.type === 'modified') this.#addLeftOwners(reconciler, event.previous, object);
      if (isWaiting(object)) this.#addDependents(reconciler, object);
    });
  }

  /** An object is gone: its dependents may have to go, and owners that waited for it may go. */
  #addNeighbours(reconciler: Reconciler, object: KubeObject): void {
    this.#addDependents(reconciler, object);
    for (const reference of object.metadata.ownerReferences ?? []) {
      this.#addOwner(reconciler, object, reference);
    }
  }

  /** Owners that the object does not name anymore, or does not block anymore. */
  #addLeftOwners(reconciler: Reconciler, before: KubeObject, after: KubeObject): void {
    const now = new Map((after.metadata.ownerReferences ?? []).map((owner) => [owner.uid, owner]));
    for (const reference of before.metadata.ownerReferences ?? []) {
      const same = now.get(reference.uid);
      if (same?.blockOwnerDeletion === reference.blockOwnerDeletion && same) continue;
      this.#addOwner(reconciler, after, reference);
    }
  }

  #addDependents(reconciler: Reconciler, object: KubeObject): void {
    for (const { kind, object: dependent } of this.#dependentsOf(object)) {
      reconciler.add(itemKey(kind, dependent));
    }
  }

  #addOwner(reconciler: Reconciler, object: KubeObject, reference: OwnerReference): void {
    const owner = this.#cachedOwner(object, reference);
    if (owner && isWaiting(owner.object)) reconciler.add(itemKey(owner.kind, owner.object));
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const item = this.#itemOf(key);
    if (!item) return { kind: 'done' };
    const dependents = this.#dependentsOf(item.object);
    await this.#settleOwner(item, dependents);
    await this.#settleOwned(item, dependents);
    return { kind: 'done' };
  }

  async #settleOwner(item: Item, dependents: readonly Item[]): Promise<void> {
    const decision = decideOwner(
      item.object,
      dependents.map(({ object }) => object),
    );
    switch (decision.kind) {
      case 'nothing':
      case 'await-dependents':
        return;
      case 'orphan-dependents':
        for (const dependent of dependents) {
          await this.#setOwners(
            dependent,
            withoutOwners(dependent.object, [item.object.metadata.uid ?? '']),
          );
        }
        return this.#dropFinalizer(item, ORPHAN);
      case 'release':
        return this.#dropFinalizer(item, FOREGROUND);
      default:
        unreachable(decision);
    }
  }

  async #settleOwned(item: Item, dependents: readonly Item[]): Promise<void> {
    const { client, logger } = this.#context;
    const references = item.object.metadata.ownerReferences ?? [];
    if (references.length === 0 || item.object.metadata.deletionTimestamp !== undefined) return;
    const owners = await Promise.all(
      references.map(async (reference) => {
        return { reference, state: await this.#stateOf(item.object, reference) };
      }),
    );
    const decision = decideOwned({
      object: item.object,
      owners,
      dependents: dependents.map(({ object }) => object),
    });
    if (decision.kind === 'keep') return;
    if (decision.kind === 'forget-owners') {
      return this.#setOwners(item, withoutOwners(item.object, decision.uids));
    }
    if (decision.kind === 'delete-in-ring') {
      // Its version has moved on with this write; the change brings it back here.
      const blocking = references.some(({ blockOwnerDeletion }) => blockOwnerDeletion === true);
      if (blocking) return this.#setOwners(item, unblocked(item.object));
    }
    const propagationPolicy = decision.kind === 'delete' ? decision.policy : 'Foreground';
    const { resourceVersion = '', namespace, name } = item.object.metadata;
    logger.info({ kind: item.kind, namespace, name, propagationPolicy }, 'collecting an object');
    const object = item.object as KindMap[KindName];
    const preconditions = { resourceVersion };
    await deleteIfPresent(client, item.kind, object, { propagationPolicy, preconditions });
  }

  /** Owners of kinds this cluster does not have are left to those who know them. */
  async #stateOf(object: KubeObject, reference: OwnerReference): Promise<OwnerState> {
    const cached = this.#cachedOwner(object, reference);
    if (cached) return isWaiting(cached.object) ? 'waiting' : 'solid';
    const kind = this.#kindOf(object, reference);
    if (!kind) return 'solid';
    const { namespace } = object.metadata;
    const { name, uid } = reference;
    const key = kind.namespaced && namespace !== undefined ? { namespace, name } : { name };
    try {
      const live = (await this.#context.client.get(kind.kind, key)) as KubeObject;
      return live.metadata.uid === uid ? 'solid' : 'absent';
    } catch (error) {
      if (isNotFound(error)) return 'absent';
      throw error;
    }
  }

  #kindOf(object: KubeObject, reference: OwnerReference): SweptKind | undefined {
    const kind = this.#kinds.get(reference.kind);
    if (!kind) return undefined;
    const slash = reference.apiVersion.indexOf('/');
    const group = slash < 0 ? '' : reference.apiVersion.slice(0, slash);
    // Deployments of the extensions group are those of apps; other groups of a known name are other kinds.
    if (group !== kind.group && group !== 'extensions') return undefined;
    // A cluster-scoped object cannot be owned by something inside a namespace.
    if (kind.namespaced && object.metadata.namespace === undefined) return undefined;
    return kind;
  }

  #cachedOwner(object: KubeObject, reference: OwnerReference): Item | undefined {
    const kind = this.#kindOf(object, reference);
    if (!kind) return undefined;
    const { namespace } = object.metadata;
    const { name, uid } = reference;
    const key = kind.namespaced && namespace !== undefined ? { namespace, name } : { name };
    const owner = metadataInformer(this.#context.client, kind.kind).get(key);
    return owner?.metadata.uid === uid ? { kind: kind.kind, object: owner } : undefined;
  }

  #dependentsOf({ metadata }: KubeObject): readonly Item[] {
    const { uid } = metadata;
    if (uid === undefined) return [];
    return [...this.#kinds.values()].flatMap(({ kind }) =>
      metadataInformer(this.#context.client, kind)
        .byIndex(OWNER_INDEX, uid)
        .map((object) => ({ kind, object })),
    );
  }

  #itemOf(key: string): Item | undefined {
    const [name = '', namespace = '', objectName = '', uid] = key.split('\n');
    const kind = this.#kinds.get(name);
    if (!kind) return undefined;
    const objectKey = namespace === '' ? { name: objectName } : { namespace, name: objectName };
    const object = metadataInformer(this.#context.client, kind.kind).get(objectKey);
    return object?.metadata.uid === uid && object ? { kind: kind.kind, object } : undefined;
  }

  async #setOwners(item: Item, ownerReferences: OwnerReference[]): Promise<void> {
    const value = ownerReferences.length === 0 ? null : ownerReferences;
    await this.#patchMetadata(item, { ownerReferences: value });
  }

  async #dropFinalizer(item: Item, finalizer: string): Promise<void> {
    const left = (item.object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
    await this.#patchMetadata(item, { finalizers: left.length === 0 ? null : left });
  }

  /** Fails when the object changed since it was looked at: the change has queued it again. */
  async #patchMetadata({ kind, object }: Item, change: object): Promise<void> {
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ...change } };
    const key = namespace === undefined ? { name } : { namespace, name };
    try {
      await this.#context.client.patch(kind, key, { type: 'merge', body });
    } catch (error) {
      if (isNotFound(error)) return;
      if (isConflict(error)) this.#context.logger.debug({ kind, name }, 'changed meanwhile');
      throw error;
    }
  }
}

function ownerUids({ metadata }: KubeObject): readonly string[] {
  return (metadata.ownerReferences ?? []).map(({ uid }) => uid);
}

function itemKey(kind: KindName, { metadata }: KubeObject): string {
  return [kind, metadata.namespace ?? '', metadata.name, metadata.uid ?? ''].join('\n');
}
