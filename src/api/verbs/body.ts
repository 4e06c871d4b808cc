/**
 * A request's body into an object of the storage version: right kind, right shape, defaults of its
 * own version, converted, defaults of the storage version. Its content is validated later, when
 * admission is through with it.
 */

import {
  checkStructure,
  decodeFailure,
  strictFailure,
  unknownFieldWarnings,
} from '../../resources/decode.ts';
import type { KubeObject } from '../../resources/types.ts';
import { badRequest } from '../status.ts';
import type { RequestContext, Target } from '../types.ts';
import { apiVersionOf } from './encode.ts';
import { isRecord } from './json.ts';

/** An object of the storage version from a body in the target's version. The body is used up. */
export function decodeObject(context: RequestContext, target: Target, body: unknown): KubeObject {
  const { kind, served } = target;
  const version = served ?? kind;
  const apiVersion = apiVersionOf(version);
  const { group, schema } = version;
  const expected = { kind: kind.kind, group, version: version.version, schema };
  const object = decodeTyped(context, expected, body);
  object.kind = kind.kind;
  object.apiVersion = apiVersion;
  if (served === undefined) {
    kind.defaults?.(object);
    return object;
  }
  warnOnce(context, served.deprecated);
  served.defaults?.(object);
  const stored = served.toStorage(object);
  kind.defaults?.(stored);
  return stored;
}

/** The body as an object with metadata, of the kind and version that the path says. */
function checkTypeMeta(body: unknown, kind: string, apiVersion: string): KubeObject {
  if (!isRecord(body))
    throw badRequest(`the object provided is unrecognized (must be of type ${kind})`);
  const { apiVersion: givenVersion = '', kind: givenKind = '' } = body;
  if (givenVersion !== '' && givenVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${givenVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  if (givenKind !== '' && givenKind !== kind) {
    throw badRequest(
      `${kind} in version ${JSON.stringify(apiVersion)} cannot be handled as a ${kind}: the kind in the data is ${JSON.stringify(givenKind)}`,
    );
  }
  const { metadata } = body;
  if (metadata === undefined || metadata === null) body['metadata'] = {};
  else if (!isRecord(metadata)) throw badRequest('metadata must be an object');
  // The shape that KubeObject promises is checked against the schema next.
  return body as KubeObject;
}

/** What a body has to be. */
export type Expected = {
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  /** Name of the schema. */
  readonly schema: string;
};

/**
 * A body brought into the shape of its type: unknown fields and nulls dropped, wrong types refused.
 * Mutates.
 */
export function decodeTyped(
  context: RequestContext,
  expected: Expected,
  body: unknown,
): KubeObject {
  const object = checkTypeMeta(body, expected.kind, apiVersionOf(expected));
  const problems = checkStructure(object, expected.schema);
  if (problems.length === 0) return object;
  const failure = decodeFailure(problems, expected);
  if (failure !== undefined) throw badRequest(failure);
  const { fieldValidation = 'Warn' } = context;
  if (fieldValidation === 'Strict') {
    throw badRequest(strictFailure(problems, expected) ?? 'strict decoding error');
  }
  if (fieldValidation === 'Warn') {
    for (const text of unknownFieldWarnings(problems)) warnOnce(context, text);
  }
  return object;
}

/** A patch is decoded anew after a lost race; its warnings are said once. */
function warnOnce(context: RequestContext, text: string | undefined): void {
  if (text !== undefined && !context.warnings.includes(text)) context.warnings.push(text);
}
