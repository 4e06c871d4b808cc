/**
 * Update of an object or of its status: what a client may change, and what is carried over from the
 * present state.
 */

import { sameMeaning } from '../../resources/equality.ts';
import type { KubeObject, ResourceKind } from '../../resources/types.ts';
import type { Check, Operation, StoredObject } from '../../store/types.ts';
import { admit } from '../admission/chain.ts';
import {
  badRequest,
  conflict,
  methodNotSupported,
  notFound,
  preconditionFailed,
  subjectOf,
} from '../status.ts';
import type { ObjectAnswer, RequestContext, Target } from '../types.ts';
import { decodeObject } from './body.ts';
import { type Changed, changeOrAbsent, type Plan, type Planner } from './change.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { agreeOnName, agreeOnNamespace, createDecoded } from './create.ts';
import { isReadyToGo } from './deletion-state.ts';
import { cloneJson } from './json.ts';
import { requiredName } from './keys.ts';
import { validateChange, validateStatusChange } from './validate.ts';
import { bytesOf } from './versions.ts';

/**
 * Replaces an object (or its status) by the body. A body without resourceVersion replaces whatever
 * there is.
 */
export async function updateObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const name = requiredName(target);
  const wanted = decodeObject(context, target, body);
  agreeOnName(name, wanted);
  agreeOnNamespace(target, wanted);
  const planner = plannerFor(verbs, context, target, () => cloneJson(wanted));
  const changed = await changeOrAbsent(verbs, context, target, planner);
  if (changed !== 'absent') return answerOf(target, changed);
  const creates = target.kind.createOnUpdate && target.subresource === undefined;
  if (!creates || (wanted.metadata.uid ?? '') !== '') throw notFound(subjectOf(target), name);
  return createDecoded(verbs, context, target, wanted);
}

/** The answer to a change. */
export function answerOf(target: Target, changed: Changed): ObjectAnswer {
  return { code: 200, bytes: bytesOf(target, changed.item), item: changed.item };
}

/**
 * A planner for the target's subresource around `wanted`, which makes the client's state from the
 * present one.
 */
export function plannerFor(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  wanted: (old: KubeObject, stored: StoredObject) => KubeObject,
): Planner {
  return async (old, stored) => {
    const object = wanted(old, stored);
    checkPreconditions(target, object, old);
    switch (target.subresource) {
      case undefined:
        return planMain(verbs, context, target, object, old);
      case 'status':
        return planStatus(verbs, target, object, old);
      default:
        throw methodNotSupported(subjectOf(target), `update of ${target.subresource}`);
    }
  };
}

/** resourceVersion and uid of the client's state, where given, are those of the present one. */
export function checkPreconditions(target: Target, object: KubeObject, old: KubeObject): void {
  const { name } = old.metadata;
  const subject = subjectOf(target);
  const { uid = '', resourceVersion = '' } = object.metadata;
  if (uid !== '' && uid !== old.metadata.uid) {
    throw preconditionFailed(subject, name, { what: 'UID', wanted: uid, found: old.metadata.uid });
  }
  if (resourceVersion === '' || resourceVersion === '0') return;
  if (!/^\d+$/.test(resourceVersion)) {
    throw badRequest(`metadata.resourceVersion: Invalid value: ${JSON.stringify(resourceVersion)}`);
  }
  if (resourceVersion !== old.metadata.resourceVersion) throw conflict(subject, name);
}

async function planMain(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  object: KubeObject,
  old: KubeObject,
): Promise<Plan> {
  const { kind } = target;
  carryMetadata(object, old);
  if (kind.hasStatus) carryField(object, old, 'status');
  kind.prepareUpdate?.(object, old, { nowIso: nowIso(verbs.clock) });
  const checks: Check[] = [];
  const operations: Operation[] = [];
  // When the last finalizer is gone the object goes with this write, and so does what it held.
  const removes = isReadyToGo(kind, object);
  const operation = removes ? 'delete' : 'update';
  const admitted = removes ? old : object;
  await admit({ verbs, context, target, operation, object: admitted, old, checks, operations });
  carryGeneration(kind, object, old);
  validateChange(context, target, object, old);
  return { object, checks, operations, removes };
}

function planStatus(verbs: VerbsContext, target: Target, given: KubeObject, old: KubeObject): Plan {
  const { kind } = target;
  if (!kind.hasStatus) throw methodNotSupported(subjectOf(target), 'update of status');
  const object = cloneJson(old);
  carryField(object, given, 'status');
  // Controllers note on the object what they have seen, together with its status.
  if (given.metadata.annotations === undefined) delete object.metadata.annotations;
  else object.metadata.annotations = given.metadata.annotations;
  kind.prepareStatusUpdate?.(object, old, { nowIso: nowIso(verbs.clock) });
  validateStatusChange(target, object, old);
  return { object };
}

/** What the server owns in metadata stays; what a client left out of it is filled in. */
function carryMetadata(object: KubeObject, old: KubeObject): void {
  const { metadata } = object;
  const before = old.metadata;
  delete metadata.managedFields;
  delete metadata.selfLink;
  metadata.uid = before.uid;
  if (metadata.creationTimestamp === undefined || metadata.creationTimestamp === null) {
    metadata.creationTimestamp = before.creationTimestamp;
  }
  metadata.deletionTimestamp = before.deletionTimestamp;
  metadata.deletionGracePeriodSeconds = before.deletionGracePeriodSeconds;
  metadata.generation = before.generation;
  if (metadata.generateName === undefined) metadata.generateName = before.generateName;
}

/** Copies one top-level field of `from`, its absence included. */
function carryField(object: KubeObject, from: KubeObject, field: string): void {
  const target = object as unknown as Record<string, unknown>;
  const value = (from as unknown as Record<string, unknown>)[field];
  if (value === undefined) delete target[field];
  else target[field] = cloneJson(value);
}

/** Generation counts changes of what is wanted: everything but metadata and status. */
function carryGeneration(kind: ResourceKind, object: KubeObject, old: KubeObject): void {
  // A kind that knows better has counted already.
  if (!kind.countsGeneration || object.metadata.generation !== old.metadata.generation) return;
  const changed = !sameMeaning(wantedPart(object), wantedPart(old));
  if (changed) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

function wantedPart(object: KubeObject): object {
  const {
    metadata: _metadata,
    status: _status,
    ...rest
  } = object as KubeObject & { status?: unknown };
  return rest;
}
