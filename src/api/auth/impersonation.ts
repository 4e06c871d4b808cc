/**
 * Acting as somebody else (kubectl --as). Only administrators may: members of system:masters. Everybody else is told so
 * rather than silently served as themselves.
 */

import type { IncomingMessage } from 'node:http';
import { badRequest, forbidden } from '../status.ts';
import type { UserInfo } from '../types.ts';
import { serviceAccountGroups } from './service-account-tokens.ts';

const EXTRA_PREFIX = 'impersonate-extra-';

/** True if any impersonation header is present. */
export function asksToImpersonate(request: IncomingMessage): boolean {
  for (const name in request.headers) if (name.startsWith('impersonate-')) return true;
  return false;
}

/** The user a request is served as. Throws ApiError: 403 for those who may not, 400 for headers without a user. */
export function impersonated(request: IncomingMessage, user: UserInfo): UserInfo {
  const headers = request.headersDistinct;
  const [name] = headers['impersonate-user'] ?? [];
  if (name === undefined || name === '') {
    throw badRequest(
      'requested impersonation without a user: the Impersonate-User header is missing',
    );
  }
  if (!user.groups.includes('system:masters')) {
    throw forbidden(
      { group: '', plural: 'users' },
      name,
      `User "${user.name}" cannot impersonate resource "users" in API group "" at the cluster scope`,
    );
  }
  const uid = headers['impersonate-uid']?.[0];
  const extra: Record<string, readonly string[]> = {};
  for (const [header, values] of Object.entries(headers)) {
    if (!header.startsWith(EXTRA_PREFIX) || values === undefined) continue;
    extra[decodeKey(header.slice(EXTRA_PREFIX.length))] = values;
  }
  return {
    name,
    ...(uid === undefined ? {} : { uid }),
    groups: groupsOf(name, headers['impersonate-group'] ?? []),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function groupsOf(name: string, asked: readonly string[]): readonly string[] {
  const account = /^system:serviceaccount:([^:]+):[^:]+$/.exec(name);
  if (asked.length === 0 && account !== null) return serviceAccountGroups(account[1] ?? '');
  if (name === 'system:anonymous') return [...asked, 'system:unauthenticated'];
  return asked.includes('system:authenticated') ? asked : [...asked, 'system:authenticated'];
}

/** Extra keys travel percent-encoded, because header names know few characters. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
