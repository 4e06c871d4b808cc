/**
 * serviceaccounts/token: a token in a service account's name, for a time and an audience, perhaps
 * bound to a pod.
 */

import { invalid as invalidField } from '../../resources/field-errors.ts';
import type { TokenRequest as TokenRequestObject } from '../../resources/generated/kinds.ts';
import type { FieldError, KubeObject } from '../../resources/types.ts';
import { objectKey } from '../../store/keys.ts';
import { badRequest, conflict, failure, invalid, notFound } from '../status.ts';
import type { ObjectAnswer, RequestContext, Target, TokenRequest } from '../types.ts';
import { decodeTyped } from './body.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { getObject } from './get.ts';

const API_VERSION = 'authentication.k8s.io/v1';
const EXPECTED = {
  kind: 'TokenRequest',
  group: 'authentication.k8s.io',
  version: 'v1',
  schema: 'io.k8s.api.authentication.v1.TokenRequest',
};
const SUBJECT = { group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' };
const EXPIRATION_DEFAULT_SECONDS = 3_600;
const EXPIRATION_MIN_SECONDS = 600;
const EXPIRATION_MAX_SECONDS = 2 ** 32;
/** Objects a token may be bound to, by kind. */
const BINDABLE: Readonly<Record<string, string>> = {
  Pod: 'pods',
  Secret: 'secrets',
  Node: 'nodes',
};

/** Issues a token as the body's TokenRequest asks. */
export async function createToken(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const { tokens } = verbs;
  if (tokens === undefined) {
    throw failure(501, 'NotImplemented', 'service account tokens are not issued by this server');
  }
  const request = decodeTyped(context, EXPECTED, body) as TokenRequestObject;
  const { item } = await getObject(verbs, context, target, {});
  const account = item?.object as KubeObject;
  const { name, namespace = '', uid = '' } = account.metadata;
  const expirationSeconds = request.spec?.expirationSeconds ?? EXPIRATION_DEFAULT_SECONDS;
  checkExpiration(name, expirationSeconds);
  const audiences = request.spec?.audiences ?? [];
  const boundObject = boundObjectOf(verbs, namespace, request);
  const issued = await tokens.issue({
    namespace,
    serviceAccount: name,
    serviceAccountUid: uid,
    audiences,
    expirationSeconds,
    ...(boundObject === undefined ? {} : { boundObject }),
  });
  const answer = {
    kind: 'TokenRequest',
    apiVersion: API_VERSION,
    metadata: { name, namespace, creationTimestamp: nowIso(verbs.clock) },
    spec: { ...request.spec, audiences: issued.audiences, expirationSeconds },
    status: { token: issued.token, expirationTimestamp: issued.expirationTimestamp },
  };
  return { code: 201, bytes: Buffer.from(JSON.stringify(answer), 'utf8') };
}

function checkExpiration(name: string, seconds: number): void {
  const field = 'spec.expirationSeconds';
  const errors: FieldError[] = [];
  if (seconds < EXPIRATION_MIN_SECONDS) {
    errors.push(invalidField(field, seconds, 'may not specify a duration less than 10 minutes'));
  }
  if (seconds > EXPIRATION_MAX_SECONDS) {
    errors.push(
      invalidField(field, seconds, 'may not specify a duration larger than 2^32 seconds'),
    );
  }
  if (errors.length > 0) throw invalid(SUBJECT, name, errors);
}

/** The object that the token lives and dies with; it has to exist, with the uid asked for. */
function boundObjectOf(
  verbs: VerbsContext,
  namespace: string,
  request: TokenRequestObject,
): TokenRequest['boundObject'] {
  const reference = request.spec?.boundObjectRef;
  if (reference === undefined) return undefined;
  const { kind = '', name = '', uid: wanted = '' } = reference;
  const plural = BINDABLE[kind];
  if (plural === undefined) throw badRequest(`cannot bind token for kind ${JSON.stringify(kind)}`);
  const scope = kind === 'Node' ? {} : { namespace };
  const found = verbs.store.get(objectKey({ group: '', plural, name, ...scope }));
  if (found === undefined) throw notFound({ group: '', plural }, name);
  const { uid = '' } = (found.object as KubeObject).metadata;
  if (wanted !== '' && wanted !== uid) {
    const why = `the UID in the bound object reference (${wanted}) does not match the UID in record. The object might have been deleted and then recreated`;
    throw conflict({ group: '', plural }, name, why);
  }
  return { kind, name, uid };
}
