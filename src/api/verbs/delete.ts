/**
 * Delete. An object goes at once unless it asks for time (a pod's grace period) or something has to
 * be done first (finalizers); then it is marked, and goes with the write that takes the last
 * obstacle away. A second delete may shorten the grace period, never lengthen it.
 */

import type { KubeObject, ResourceKind } from '../../resources/types.ts';
import type { Check, Operation, StoredObject } from '../../store/types.ts';
import { admit } from '../admission/chain.ts';
import { invalid, preconditionFailed, subjectOf, success } from '../status.ts';
import type { DeleteOptions, ObjectAnswer, RequestContext, Target } from '../types.ts';
import { type Changed, changeObject, type Plan, type Planner } from './change.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { hasFinalizers } from './deletion-state.ts';
import { cloneJson } from './json.ts';
import { bytesOf } from './versions.ts';

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';
/** Kinds whose delete is answered with the object rather than a Status, as upstream does. */
const ANSWERED_WITH_OBJECT: ReadonlySet<string> = new Set([
  'Pod',
  'Service',
  'ServiceAccount',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'PodTemplate',
  'ResourceQuota',
]);

/** Deletes an object, or begins to. */
export async function deleteObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: DeleteOptions,
): Promise<ObjectAnswer> {
  checkDeleteOptions(options);
  const planner = deletionPlanner(verbs, context, target, options);
  return deletionAnswer(target, options, await changeObject(verbs, context, target, planner));
}

/** Plans the next step of an object's end; `extra` goes into the same transaction. */
export function deletionPlanner(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: DeleteOptions,
): Planner {
  return async (old: KubeObject, stored: StoredObject): Promise<Plan> => {
    checkPreconditions(target, options, old);
    const checks: Check[] = [];
    const operations: Operation[] = [];
    await admit({ verbs, context, target, operation: 'delete', object: old, checks, operations });
    const object = cloneJson(stored.object as KubeObject);
    applyPropagation(object, options);
    const graceSeconds = graceOf(target.kind, object, options);
    markDeleting(object, graceSeconds, verbs);
    if (object.metadata.deletionTimestamp !== old.metadata.deletionTimestamp) {
      if (target.kind.countsGeneration) {
        object.metadata.generation = (object.metadata.generation ?? 0) + 1;
      }
      markNamespace(target.kind, object);
    }
    if (graceSeconds === 0 && !hasFinalizers(target.kind, object)) {
      return { object, removes: true, checks, operations };
    }
    // What the object holds is released when it goes, not now.
    return { object, checks };
  };
}

function deletionAnswer(target: Target, options: DeleteOptions, changed: Changed): ObjectAnswer {
  const { kind } = target;
  const { item, removed } = changed;
  if (!removed || ANSWERED_WITH_OBJECT.has(kind.kind)) {
    const waits = !removed && options.orphanDependents === false;
    return { code: waits ? 202 : 200, bytes: bytesOf(target, item), item };
  }
  const { metadata } = item.object as KubeObject;
  const { group, plural } = subjectOf(target);
  const status = success({
    name: metadata.name,
    ...(group === '' ? {} : { group }),
    kind: plural,
    ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
  });
  return { code: 200, bytes: Buffer.from(JSON.stringify(status), 'utf8') };
}

const OPTIONS_SUBJECT = { group: 'meta.k8s.io', plural: 'deleteoptions', kind: 'DeleteOptions' };

/** Refuses options that contradict each other with 422. */
export function checkDeleteOptions(options: DeleteOptions): void {
  const { propagationPolicy, orphanDependents, gracePeriodSeconds } = options;
  const policies = ['Foreground', 'Background', 'Orphan'];
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    const detail = 'orphanDependents and deletionPropagation cannot be both set';
    const error = { type: 'Invalid', field: 'propagationPolicy', detail } as const;
    throw invalid(OPTIONS_SUBJECT, '', [{ ...error, badValue: propagationPolicy }]);
  }
  if (propagationPolicy !== undefined && !policies.includes(propagationPolicy)) {
    const detail = `supported values: ${[...policies, 'nil'].map((one) => JSON.stringify(one)).join(', ')}`;
    const error = { type: 'NotSupported', field: 'propagationPolicy', detail } as const;
    throw invalid(OPTIONS_SUBJECT, '', [{ ...error, badValue: propagationPolicy }]);
  }
  if (gracePeriodSeconds !== undefined && !Number.isSafeInteger(gracePeriodSeconds)) {
    const error = { type: 'Invalid', field: 'gracePeriodSeconds', detail: 'must be an integer' };
    throw invalid(OPTIONS_SUBJECT, '', [
      { ...error, type: 'Invalid', badValue: gracePeriodSeconds },
    ]);
  }
}

function checkPreconditions(target: Target, options: DeleteOptions, old: KubeObject): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { metadata } = old;
  const refuse = (what: string, wanted: string, found: string | undefined) =>
    preconditionFailed(subjectOf(target), metadata.name, { what, wanted, found });
  if (uid !== undefined && uid !== metadata.uid) throw refuse('UID', uid, metadata.uid);
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw refuse('ResourceVersion', resourceVersion, metadata.resourceVersion);
  }
}

/** What becomes of dependents is asked of the garbage collector by a finalizer. */
function applyPropagation(object: KubeObject, options: DeleteOptions): void {
  const policy = propagationOf(options);
  if (policy === undefined) return;
  const { metadata } = object;
  const others = (metadata.finalizers ?? []).filter((one) => one !== ORPHAN && one !== FOREGROUND);
  if (policy === 'Orphan') others.push(ORPHAN);
  if (policy === 'Foreground') others.push(FOREGROUND);
  if (others.length === 0) delete metadata.finalizers;
  else metadata.finalizers = others;
}

function propagationOf({ propagationPolicy, orphanDependents }: DeleteOptions) {
  if (propagationPolicy !== undefined) return propagationPolicy;
  if (orphanDependents === undefined) return undefined;
  return orphanDependents ? 'Orphan' : 'Background';
}

/** Seconds the object is still to be given. */
function graceOf(kind: ResourceKind, object: KubeObject, options: DeleteOptions): number {
  if (kind.gracePeriodSeconds === undefined) return 0;
  const requested = options.gracePeriodSeconds;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata;
  if (deletionTimestamp === undefined)
    return Math.max(0, kind.gracePeriodSeconds(object, requested));
  if (requested === undefined) return deletionGracePeriodSeconds;
  const asked = Math.max(0, kind.gracePeriodSeconds(object, requested));
  return Math.min(asked, deletionGracePeriodSeconds);
}

function markDeleting(object: KubeObject, graceSeconds: number, verbs: VerbsContext): void {
  const { metadata } = object;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = metadata;
  if (deletionTimestamp === undefined) {
    metadata.deletionTimestamp = later(nowIso(verbs.clock), graceSeconds);
  } else if (graceSeconds < deletionGracePeriodSeconds) {
    metadata.deletionTimestamp = later(
      deletionTimestamp,
      graceSeconds - deletionGracePeriodSeconds,
    );
  }
  metadata.deletionGracePeriodSeconds = graceSeconds;
}

/** A namespace shows in its phase, too, that it takes nothing more. */
function markNamespace(kind: ResourceKind, object: KubeObject): void {
  if (kind.kind !== 'Namespace' || kind.group !== '') return;
  const namespace = object as KubeObject & { status?: { phase?: string } };
  namespace.status = { ...namespace.status, phase: 'Terminating' };
}

function later(iso: string, seconds: number): string {
  return `${new Date(Date.parse(iso) + seconds * 1_000).toISOString().slice(0, 19)}Z`;
}

/** The target narrowed to one object, for a collection's members. */
export function memberTarget(target: Target, object: KubeObject): Target {
  const { namespace, name } = object.metadata;
  return { ...target, name, ...(namespace === undefined ? {} : { namespace }) };
}
