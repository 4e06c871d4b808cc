/**
 * The scale subresource: every scalable kind seen as an autoscaling/v1 Scale, so that one tool
 * scales them all.
 */

import { invalid as invalidField } from '../../resources/field-errors.ts';
import type { Scale } from '../../resources/generated/kinds.ts';
import type { KubeObject, ScaleDeclaration } from '../../resources/types.ts';
import { applyPatch } from '../patch/apply-patch.ts';
import { invalid, methodNotSupported, subjectOf } from '../status.ts';
import type { ObjectAnswer, Patch, RequestContext, Target } from '../types.ts';
import { decodeTyped } from './body.ts';
import { changeObject, type Planner } from './change.ts';
import type { VerbsContext } from './components.ts';
import { agreeOnName } from './create.ts';
import { getObject } from './get.ts';
import { cloneJson } from './json.ts';
import { requiredName } from './keys.ts';
import { plannerFor } from './update.ts';

const API_VERSION = 'autoscaling/v1';
const SCHEMA = 'io.k8s.api.autoscaling.v1.Scale';
const EXPECTED = { kind: 'Scale', group: 'autoscaling', version: 'v1', schema: SCHEMA };
const SUBJECT = { group: 'autoscaling', plural: 'scales', kind: 'Scale' };

/** The Scale of an object. */
export async function getScale(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
): Promise<ObjectAnswer> {
  const declaration = declarationOf(target);
  const { item } = await getObject(verbs, context, target, {});
  return answer(declaration, item?.object as KubeObject);
}

/** Sets the replicas that the body's Scale asks for. */
export function updateScale(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const scale = decodeScale(context, target, body);
  return change(verbs, context, target, () => scale);
}

/** Sets the replicas that the patched Scale asks for. */
export function patchScale(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  patch: Patch,
): Promise<ObjectAnswer> {
  const declaration = declarationOf(target);
  return change(verbs, context, target, (old) => {
    const present = cloneJson(scaleOf(declaration, old));
    return decodeScale(context, target, applyPatch(SCHEMA, present, patch));
  });
}

async function change(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  wanted: (old: KubeObject) => Scale,
): Promise<ObjectAnswer> {
  const declaration = declarationOf(target);
  const { subresource: _scale, ...main } = target;
  const planner: Planner = plannerFor(verbs, context, main, (old) => {
    const scale = wanted(old);
    const object = cloneJson(old);
    const { resourceVersion, uid } = scale.metadata;
    object.metadata.resourceVersion = resourceVersion;
    if (uid !== undefined) object.metadata.uid = uid;
    declaration.setReplicas(object, scale.spec?.replicas ?? 0);
    return object;
  });
  const { item } = await changeObject(verbs, context, main, planner);
  return answer(declaration, item.object as KubeObject);
}

function decodeScale(context: RequestContext, target: Target, body: unknown): Scale {
  const scale = decodeTyped(context, EXPECTED, body) as Scale;
  const name = requiredName(target);
  agreeOnName(name, scale);
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas < 0) {
    const detail = 'must be greater than or equal to 0';
    throw invalid(SUBJECT, name, [invalidField('spec.replicas', replicas, detail)]);
  }
  return scale;
}

function declarationOf(target: Target): ScaleDeclaration {
  const { scale } = target.kind;
  if (scale === undefined) throw methodNotSupported(subjectOf(target), 'scale');
  return scale;
}

function scaleOf(declaration: ScaleDeclaration, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = declaration.getSelector(object);
  const replicas = declaration.getReplicas(object);
  return {
    kind: 'Scale',
    apiVersion: API_VERSION,
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: {
      replicas: declaration.getStatusReplicas(object),
      ...(selector === '' ? {} : { selector }),
    },
  };
}

function answer(declaration: ScaleDeclaration, object: KubeObject): ObjectAnswer {
  const bytes = Buffer.from(JSON.stringify(scaleOf(declaration, object)), 'utf8');
  return { code: 200, bytes };
}
