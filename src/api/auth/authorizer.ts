/**
 * Who may do what. Authorizer is the port behind which role-based access control will stand; the one here knows
 * groups only: administrators and the cluster's own parts may do everything, everybody else may look
 * at the API's shape and at themselves.
 */

import { type ApiError, failure, forbidden } from '../status.ts';
import type { UserInfo } from '../types.ts';

/** A request as authorization sees it. */
export type Attributes = {
  readonly user: UserInfo;
  /** get, list, watch, create, update, patch, delete, deletecollection; or the HTTP method in lower case. */
  readonly verb: string;
} & (
  | {
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      /** Empty: cluster-scoped, or all namespaces. */
      readonly namespace: string;
      /** Empty: no particular object. */
      readonly name: string;
      readonly path?: never;
    }
  | { readonly path: string; readonly resource?: never }
);

export type Decision = {
  readonly allowed: boolean;
  /** Why, for the reader of a review or of a 403; may be empty. */
  readonly reason: string;
};

/** What a user may do in a namespace, as SelfSubjectRulesReview shows it. */
export type Rules = {
  readonly resourceRules: readonly {
    readonly verbs: readonly string[];
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
  readonly nonResourceRules: readonly {
    readonly verbs: readonly string[];
    readonly nonResourceURLs: readonly string[];
  }[];
};

export interface Authorizer {
  authorize(attributes: Attributes): Decision;
  rulesOf(user: UserInfo, namespace: string): Rules;
}

/** Groups whose members may do everything. */
const OMNIPOTENT_GROUPS: ReadonlySet<string> = new Set([
  'system:masters',
  'system:nodes',
  'system:skein',
]);

/** Paths open to everybody with a name: discovery, schemas, version and health. */
const OPEN_PATHS = ['/api', '/apis', '/openapi', '/version', '/healthz', '/livez', '/readyz'];
const SELF_REVIEWS: ReadonlyMap<string, readonly string[]> = new Map([
  ['authorization.k8s.io', ['selfsubjectaccessreviews', 'selfsubjectrulesreviews']],
  ['authentication.k8s.io', ['selfsubjectreviews']],
]);

const ALLOWED: Decision = { allowed: true, reason: '' };
const DENIED: Decision = { allowed: false, reason: '' };

/** The authorizer by groups. */
export function createGroupAuthorizer(): Authorizer {
  return {
    authorize(attributes) {
      if (isOmnipotent(attributes.user)) return ALLOWED;
      if (attributes.path !== undefined) {
        return attributes.verb === 'get' && isOpenPath(attributes.path) ? ALLOWED : DENIED;
      }
      const reviews = SELF_REVIEWS.get(attributes.group);
      if (attributes.verb === 'create' && reviews?.includes(attributes.resource)) return ALLOWED;
      return DENIED;
    },
    rulesOf(user) {
      if (isOmnipotent(user)) {
        return {
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
          nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        };
      }
      const open = OPEN_PATHS.flatMap((path) => [path, `${path}/*`]);
      return {
        resourceRules: [...SELF_REVIEWS].map(([group, resources]) => ({
          verbs: ['create'],
          apiGroups: [group],
          resources,
        })),
        nonResourceRules: [{ verbs: ['get'], nonResourceURLs: open }],
      };
    },
  };
}

function isOmnipotent(user: UserInfo): boolean {
  return user.groups.some((group) => OMNIPOTENT_GROUPS.has(group));
}

function isOpenPath(path: string): boolean {
  return OPEN_PATHS.some((open) => path === open || path.startsWith(`${open}/`));
}

/** The 403 for a refused request, in upstream's words. */
export function refusal(attributes: Attributes, decision: Decision): ApiError {
  const { user, verb } = attributes;
  const why = decision.reason === '' ? '' : `: ${decision.reason}`;
  if (attributes.path !== undefined) {
    const message = `forbidden: User "${user.name}" cannot ${verb} path "${attributes.path}"${why}`;
    return failure(403, 'Forbidden', message, {});
  }
  const { group, resource, subresource, namespace, name } = attributes;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return forbidden(
    { group, plural: resource },
    name,
    `User "${user.name}" cannot ${verb} resource "${what}" in API group "${group}" ${where}${why}`,
  );
}
