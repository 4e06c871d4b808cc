/**
 * The review resources: questions that are answered on the spot and never stored. May somebody do something
 * (kubectl auth can-i), what may they do (can-i --list), who am I (whoami), whose token is this.
 */

import type { KubeObject } from '../../resources/types.ts';
import { badRequest } from '../status.ts';
import type { UserInfo } from '../types.ts';
import type { Authenticator } from './authenticator.ts';
import type { Attributes, Authorizer } from './authorizer.ts';

/** One create-only resource. */
export type ReviewResource = {
  readonly group: string;
  readonly versions: readonly string[];
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
};

const AUTHORIZATION = { group: 'authorization.k8s.io', versions: ['v1'] } as const;
const AUTHENTICATION = { group: 'authentication.k8s.io', versions: ['v1'] } as const;

/** All review resources, in the order of discovery. */
export const REVIEW_RESOURCES: readonly ReviewResource[] = [
  review(AUTHENTICATION, 'SelfSubjectReview'),
  review(AUTHENTICATION, 'TokenReview'),
  { ...review(AUTHORIZATION, 'LocalSubjectAccessReview'), namespaced: true },
  review(AUTHORIZATION, 'SelfSubjectAccessReview'),
  review(AUTHORIZATION, 'SelfSubjectRulesReview'),
  review(AUTHORIZATION, 'SubjectAccessReview'),
];

/** The review resource at a path, or undefined. */
export function findReview(
  group: string,
  version: string,
  plural: string,
): ReviewResource | undefined {
  return REVIEW_RESOURCES.find(
    (resource) =>
      resource.group === group && resource.plural === plural && resource.versions.includes(version),
  );
}

export type ReviewComponents = {
  readonly authenticator: Pick<Authenticator, 'authenticateToken'>;
  readonly authorizer: Authorizer;
};

export type ReviewRequest = {
  readonly resource: ReviewResource;
  readonly version: string;
  readonly user: UserInfo;
  /** Of the path, for LocalSubjectAccessReview. */
  readonly namespace: string | undefined;
  readonly body: unknown;
};

type Json = Readonly<Record<string, unknown>>;

/** The review with its status filled in. Throws ApiError 400 for a body that asks nothing. */
export async function answerReview(
  components: ReviewComponents,
  request: ReviewRequest,
): Promise<object> {
  const body = record(request.body);
  const { kind, group } = request.resource;
  const apiVersion = `${group}/${request.version}`;
  if (body['kind'] !== undefined && body['kind'] !== kind) {
    throw badRequest(
      `${String(body['kind'])} in version "${String(body['apiVersion'])}" cannot be handled as a ${kind}`,
    );
  }
  const spec = record(body['spec']);
  const metadata = metadataOf(body);
  const status = await statusOf(components, request, spec);
  return { kind, apiVersion, metadata, ...(kind === 'SelfSubjectReview' ? {} : { spec }), status };
}

async function statusOf(
  { authenticator, authorizer }: ReviewComponents,
  request: ReviewRequest,
  spec: Json,
): Promise<object> {
  const { user } = request;
  switch (request.resource.kind) {
    case 'SelfSubjectReview':
      return { userInfo: shownUser(user) };
    case 'SelfSubjectAccessReview':
      return decide(authorizer, user, spec);
    case 'SelfSubjectRulesReview':
      return { ...authorizer.rulesOf(user, textOf(spec['namespace'])), incomplete: false };
    case 'TokenReview':
      return reviewToken(authenticator, spec);
    default: {
      const subject = subjectOf(spec);
      const asked = record(spec['resourceAttributes']);
      if (request.namespace !== undefined && textOf(asked['namespace']) !== request.namespace) {
        throw badRequest('spec.resourceAttributes.namespace must be the namespace of the request');
      }
      return decide(authorizer, subject, spec);
    }
  }
}

function decide(authorizer: Authorizer, user: UserInfo, spec: Json): object {
  const { allowed, reason } = authorizer.authorize(attributesOf(user, spec));
  return { allowed, ...(reason === '' ? {} : { reason }) };
}

function attributesOf(user: UserInfo, spec: Json): Attributes {
  const resource = spec['resourceAttributes'];
  const path = spec['nonResourceAttributes'];
  if ((resource === undefined) === (path === undefined)) {
    throw badRequest(
      'exactly one of nonResourceAttributes or resourceAttributes must be specified',
    );
  }
  if (path !== undefined) {
    const asked = record(path);
    return { user, verb: textOf(asked['verb']), path: textOf(asked['path']) };
  }
  const asked = record(resource);
  return {
    user,
    verb: textOf(asked['verb']),
    group: textOf(asked['group']),
    resource: textOf(asked['resource']),
    subresource: textOf(asked['subresource']),
    namespace: textOf(asked['namespace']),
    name: textOf(asked['name']),
  };
}

async function reviewToken(
  authenticator: Pick<Authenticator, 'authenticateToken'>,
  spec: Json,
): Promise<object> {
  const audiences = Array.isArray(spec['audiences']) ? spec['audiences'].map(String) : undefined;
  const found = await authenticator.authenticateToken(textOf(spec['token']), audiences);
  if (found === undefined) {
    return { user: {}, error: 'the token is invalid, has expired, or its subject is gone' };
  }
  return { authenticated: true, user: shownUser(found.user), audiences: found.audiences };
}

function subjectOf(spec: Json): UserInfo {
  const name = textOf(spec['user']);
  const groups = Array.isArray(spec['groups']) ? spec['groups'].map(String) : [];
  if (name === '' && groups.length === 0) {
    throw badRequest('spec: at least one of user or group must be specified');
  }
  return { name, groups };
}

function shownUser(user: UserInfo): object {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}

function metadataOf(body: Json): object {
  const { metadata } = body as Partial<KubeObject>;
  return { ...metadata, creationTimestamp: null };
}

function record(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function review(
  where: { readonly group: string; readonly versions: readonly string[] },
  kind: string,
): ReviewResource {
  const singular = kind.toLowerCase();
  return { ...where, plural: `${singular}s`, singular, kind, namespaced: false };
}
