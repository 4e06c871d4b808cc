/** The namespace controller: makes the namespaces every cluster has, and empties those that are to go. */

import { isAlreadyExists, isConflict, isNotFound } from '../../../src/client/errors.ts';
import { type Reconciler, runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import type { KubeObject, ResourceKind } from '../../../src/resources/types.ts';
import { metadataInformer, type SweptKind, sweptKinds } from '../cluster-kinds.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import type { Namespace } from '../kinds.ts';
import { sameStatus } from '../statuses.ts';
import {
  decideConditions,
  type EmptyingReport,
  FINALIZER,
  isEmpty,
  type Remaining,
  SYSTEM_NAMESPACES,
} from './decide.ts';

export type NamespaceOptions = {
  /** Every kind the API serves. */
  readonly kinds: readonly ResourceKind[];
};

const NAME = 'namespace';
/** What is left is looked at again after this long, even if no deletion was seen. */
const RECHECK_MS = 1000;
/** Deletions in flight at once. */
const PARALLEL_MAX = 32;

/** The namespace controller as a cluster singleton. */
export function createNamespaceController(deps: ClusterAgentDeps, options: NamespaceOptions) {
  const kinds = sweptKinds(options.kinds).filter(({ namespaced }) => namespaced);
  return controller(deps, { name: NAME, component: 'namespace-controller' }, async (context) => {
    const reconciler = runReconciler({
      ...context,
      name: NAME,
      watches: [{ kind: 'Namespace', keys: ({ metadata }) => [metadata.name] }],
      reconcile: (key) => reconcile(context, kinds, key),
    });
    const unsubscribes = watchDeletions(context, kinds, reconciler);
    for (const name of SYSTEM_NAMESPACES) reconciler.add(name);
    try {
      await reconciler.stopped;
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  });
}

/** The last object to leave a dying namespace lets the namespace go at once. */
function watchDeletions(
  { client }: ControllerContext,
  kinds: readonly SweptKind[],
  reconciler: Reconciler,
): (() => void)[] {
  const namespaces = client.informer('Namespace');
  return kinds.map(({ kind }) =>
    metadataInformer(client, kind).subscribe(({ type, object }) => {
      if (type !== 'deleted') return;
      const name = object.metadata.namespace ?? '';
      const dying = namespaces.get({ name })?.metadata.deletionTimestamp !== undefined;
      if (dying) reconciler.add(name);
    }),
  );
}

async function reconcile(
  context: ControllerContext,
  kinds: readonly SweptKind[],
  name: string,
): Promise<ReconcileResult> {
  const { client, clock } = context;
  const namespace = client.informer('Namespace').get({ name });
  if (!namespace) {
    if (SYSTEM_NAMESPACES.includes(name)) await createNamespace(context, name);
    return { kind: 'done' };
  }
  if (namespace.metadata.deletionTimestamp === undefined) return { kind: 'done' };
  if (!(namespace.spec?.finalizers ?? []).includes(FINALIZER)) return { kind: 'done' };
  const report = await empty(context, kinds, name);
  const present = namespace.status?.conditions ?? [];
  const conditions = decideConditions(present, report, clock.nowMs());
  const status = { phase: 'Terminating', conditions };
  let latest = namespace;
  if (!sameStatus(namespace.status, status)) {
    latest = await client.updateStatus('Namespace', { ...namespace, status });
  }
  if (!isEmpty(report)) return { kind: 'again', afterMs: RECHECK_MS };
  await finalize(context, latest);
  return { kind: 'done' };
}

async function createNamespace({ client }: ControllerContext, name: string): Promise<void> {
  const namespace: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  try {
    await client.create('Namespace', namespace);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

async function finalize({ client }: ControllerContext, namespace: Namespace): Promise<void> {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => one !== FINALIZER);
  try {
    await client.finalize({ ...namespace, spec: { ...namespace.spec, finalizers } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Pods go first: what they use should outlive them. Then everything else; then a look at what is left. */
async function empty(
  context: ControllerContext,
  kinds: readonly SweptKind[],
  namespace: string,
): Promise<EmptyingReport> {
  const failures: string[] = [];
  const pods = kinds.filter(({ kind }) => kind === 'Pod');
  const others = kinds.filter(({ kind }) => kind !== 'Pod');
  for (const kind of pods) failures.push(...(await sweep(context, kind, namespace)));
  const podsLeft = await look(context, pods, namespace);
  if (podsLeft.some(({ objects }) => objects.length > 0)) {
    return { remaining: [...podsLeft, ...(await look(context, others, namespace))], failures };
  }
  for (const kind of others) failures.push(...(await sweep(context, kind, namespace)));
  return { remaining: await look(context, kinds, namespace), failures };
}

/** Asks for the end of every object of a kind; returns why some would not go. */
async function sweep(
  { client }: ControllerContext,
  { kind }: SweptKind,
  namespace: string,
): Promise<string[]> {
  const { items } = await client.list(kind, { namespace });
  const waiting = (items as readonly KubeObject[]).filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  );
  const failures: string[] = [];
  for (let at = 0; at < waiting.length; at += PARALLEL_MAX) {
    const outcomes = await Promise.allSettled(
      waiting.slice(at, at + PARALLEL_MAX).map(({ metadata }) => {
        const preconditions = metadata.uid === undefined ? {} : { uid: metadata.uid };
        const options = { preconditions, propagationPolicy: 'Background' } as const;
        return client.delete(kind, { namespace, name: metadata.name }, options);
      }),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      const { reason } = outcome;
      // Gone, or replaced by a newer one that the next round sees.
      if (!isNotFound(reason) && !isConflict(reason)) failures.push(messageOf(reason));
    }
  }
  return failures;
}

/** Counted by the API, not by a cache: the namespace goes on the strength of this. */
async function look(
  { client }: ControllerContext,
  kinds: readonly SweptKind[],
  namespace: string,
): Promise<Remaining[]> {
  return Promise.all(
    kinds.map(async ({ kind, plural, group }) => {
      const { items } = await client.list(kind, { namespace });
      const name = group === '' ? `${plural}.` : `${plural}.${group}`;
      return { plural: name, objects: items as readonly KubeObject[] };
    }),
  );
}
