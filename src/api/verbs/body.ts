/**
 * A request's body into an object of the storage version: right kind, right shape, defaults of its own version,
 * converted, defaults of the storage version. Its content is validated later, when admission is through with it.
 */

import type { KubeObject } from '../../resources/types.ts';
import { badRequest } from '../status.ts';
import type { RequestContext, Target } from '../types.ts';
import { apiVersionOf } from './encode.ts';
import { isRecord } from './json.ts';
import { checkStructure } from './structure.ts';

/** An object of the storage version from a body in the target's version. The body is used up. */
export function decodeObject(context: RequestContext, target: Target, body: unknown): KubeObject {
  const { kind, served } = target;
  const version = served ?? kind;
  const apiVersion = apiVersionOf(version);
  const raw = checkTypeMeta(body, kind.kind, apiVersion);
  const object = checkShape(context, version.schema, raw, apiVersion);
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
export function checkTypeMeta(body: unknown, kind: string, apiVersion: string): KubeObject {
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

/** Drops unknown fields and nulls, refuses wrong types; says so as fieldValidation asks. */
function checkShape(
  context: RequestContext,
  schema: string,
  object: KubeObject,
  apiVersion: string,
): KubeObject {
  const version = JSON.stringify(apiVersion.slice(apiVersion.indexOf('/') + 1));
  const { errors, unknown } = checkStructure(schema, object);
  if (errors.length > 0) {
    const name = schema.slice(schema.lastIndexOf('.') + 1);
    throw badRequest(`${name} in version ${version} cannot be handled as a ${name}: ${errors[0]}`);
  }
  const { fieldValidation = 'Warn' } = context;
  if (unknown.length === 0 || fieldValidation === 'Ignore') return object;
  const texts = unknown.map((path) => `unknown field "${path}"`);
  if (fieldValidation === 'Strict') throw badRequest(`strict decoding error: ${texts.join(', ')}`);
  for (const text of texts) warnOnce(context, text);
  return object;
}

/** A patch is decoded anew after a lost race; its warnings are said once. */
function warnOnce(context: RequestContext, text: string | undefined): void {
  if (text !== undefined && !context.warnings.includes(text)) context.warnings.push(text);
}
