/**
 * Create: decode, prepare, admit, validate, then one transaction that holds only if the name is
 * free and what admission relied on is still so. A lost race over the latter runs admission again.
 */

import { randomUUID } from 'node:crypto';
import type { KubeObject } from '../../resources/types.ts';
import type { Check, Key, Operation, StoredObject } from '../../store/types.ts';
import { admit } from '../admission/chain.ts';
import type { AdmissionRequest } from '../admission/types.ts';
import { alreadyExists, badRequest, failure, subjectOf } from '../status.ts';
import type { ObjectAnswer, RequestContext, Target } from '../types.ts';
import { decodeObject } from './body.ts';
import { catchUp, commit, committedVersion } from './commit.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { type Encoded, encodeObject, unstored } from './encode.ts';
import { cloneJson } from './json.ts';
import { keyFor } from './keys.ts';
import { generateName } from './names.ts';
import { validateNew } from './validate.ts';
import { bytesOf } from './versions.ts';

/** Races over admission's conditions that one create may lose. */
const ADMISSION_RACES_MAX = 16;
/** Names that may turn out to be taken when the server chooses them. */
const GENERATED_NAMES_MAX = 8;

type Draft = {
  readonly key: Key;
  readonly encoded: Encoded;
  readonly checks: readonly Check[];
  readonly operations: readonly Operation[];
};

/** Creates an object of the target's kind from a body in the target's version. */
export async function createObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const base = decodeObject(context, target, body);
  return createDecoded(verbs, context, target, base);
}

/** Creates an object that is in the storage version already; it is used up. */
export async function createDecoded(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  base: KubeObject,
): Promise<ObjectAnswer> {
  stampMetadata(verbs, target, base);
  target.kind.prepareCreate?.(base, { nowIso: nowIso(verbs.clock) });
  const generated = (base.metadata.name ?? '') === '' && (base.metadata.generateName ?? '') !== '';
  let names = 0;
  for (let race = 0; race < ADMISSION_RACES_MAX; race++) {
    if (generated)
      base.metadata.name = generateName(base.metadata.generateName ?? '', verbs.random);
    const item = await insert(verbs, context, await draftOf(verbs, context, target, base));
    if (item === 'raced') continue;
    if (item !== 'taken') return { code: 201, bytes: bytesOf(target, item), item };
    if (!generated || ++names >= GENERATED_NAMES_MAX) {
      throw alreadyExists(subjectOf(target), base.metadata.name);
    }
  }
  throw tooManyRaces(target, base.metadata.name);
}

/** Stores a draft. taken: its name is; raced: what admission relied on has changed. */
async function insert(
  verbs: VerbsContext,
  context: RequestContext,
  draft: Draft,
): Promise<StoredObject | 'taken' | 'raced'> {
  const { key, encoded, checks, operations } = draft;
  if (context.dryRun === true) {
    return verbs.store.get(key) === undefined ? unstored(key, encoded, undefined) : 'taken';
  }
  const result = await commit(verbs, context, {
    checks: [{ key, is: 'absent' }, ...checks],
    operations: [{ op: 'put', key, ...encoded }, ...operations],
  });
  if (result.kind === 'committed') {
    const { revision } = result;
    return committedVersion(verbs, { key, encoded, revision }, revision);
  }
  if (result.key === key) return 'taken';
  await catchUp(verbs, context, result.found);
  return 'raced';
}

async function draftOf(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  base: KubeObject,
): Promise<Draft> {
  // Allocation writes into the object; a second try has to start from what the user sent.
  const object = target.kind.kind === 'Service' ? cloneJson(base) : base;
  const request: AdmissionRequest = {
    verbs,
    context,
    target,
    operation: 'create',
    object,
    checks: [],
    operations: [],
  };
  await admit(request);
  validateNew(context, target, object);
  const key = keyFor(target, object.metadata.name);
  const { checks, operations } = request;
  return { key, encoded: encodeObject(target.kind, object), checks, operations };
}

/** Sets what only the server may set, and makes namespace and path agree. */
function stampMetadata(verbs: VerbsContext, target: Target, object: KubeObject): void {
  const { metadata } = object;
  if ((metadata.resourceVersion ?? '') !== '') {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
  delete metadata.resourceVersion;
  delete metadata.selfLink;
  delete metadata.managedFields;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  if (metadata.generateName === '') delete metadata.generateName;
  agreeOnNamespace(target, object);
  if (target.name !== undefined && target.name !== '') agreeOnName(target.name, object);
  metadata.uid = randomUUID();
  metadata.creationTimestamp = nowIso(verbs.clock);
  if (target.kind.countsGeneration) metadata.generation = 1;
  else delete metadata.generation;
}

/** The namespace of the body is that of the path, and is filled in when absent. */
export function agreeOnNamespace(target: Target, object: KubeObject): void {
  const { metadata } = object;
  if (!target.kind.namespaced) {
    if (metadata.namespace === '') delete metadata.namespace;
    return;
  }
  const given = metadata.namespace ?? '';
  const wanted = target.namespace ?? '';
  if (given !== '' && given !== wanted) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request`,
    );
  }
  metadata.namespace = wanted;
}

/** The name of the body is that of the path, and is filled in when absent. */
export function agreeOnName(wanted: string, object: KubeObject): void {
  const given = object.metadata.name ?? '';
  if (given !== '' && given !== wanted) {
    throw badRequest(
      `the name of the object (${given}) does not match the name on the URL (${wanted})`,
    );
  }
  object.metadata.name = wanted;
}

/** 409: others were faster, again and again. */
export function tooManyRaces(target: Target, name: string): Error {
  const { plural } = target.kind;
  return failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${plural} "${name}": too many concurrent changes to what it depends on; please try again`,
    { name, kind: plural },
  );
}
