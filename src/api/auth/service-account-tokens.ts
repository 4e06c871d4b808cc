/**
 * Bearer tokens of service accounts: JSON web tokens signed with the cluster's ES256 key, shaped as upstream's (claims under
 * `kubernetes.io`), so that workloads find what they expect. A token ends at its expiry, or earlier with
 * its service account or the object it is bound to.
 */

import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto';
import {
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import type { Clock } from '../../lib/clock.ts';
import type { IssuedToken, TokenIssuer, TokenRequest, UserInfo } from '../types.ts';

/** Issuer and default audience of this cluster's tokens. */
export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local';
/** Shortest and longest life a caller may ask for, as upstream. */
export const TOKEN_SECONDS_MIN = 600;
export const TOKEN_SECONDS_MAX = 2 ** 32;
const NOT_BEFORE_SLACK_SECONDS = 60;
/** Verified tokens remembered, so that a busy client costs one signature check only. */
const VERIFIED_TOKENS_MAX = 4096;

/** What token verification reads of the cluster's state. */
export interface LiveObjects {
  /** The uid of a live object, or undefined when there is none (or it is being deleted). */
  uidOf(
    kind: 'ServiceAccount' | 'Pod' | 'Secret' | 'Node',
    namespace: string,
    name: string,
  ): string | undefined;
}

export type TokenComponents = { readonly clock: Clock; readonly live: LiveObjects };

export type TokenOptions = {
  /** PKCS #8 PEM of the cluster's signing key (createTokenKey). */
  readonly keyPem: string;
  /** Keys of earlier times whose tokens are still accepted. Default none. */
  readonly acceptedKeyPems?: readonly string[];
  /** Default DEFAULT_ISSUER. */
  readonly issuer?: string;
  /** Audiences that this API accepts. Default: the issuer alone. */
  readonly audiences?: readonly string[];
};

/** Signs and verifies tokens of service accounts. */
export interface ServiceAccountTokens extends TokenIssuer {
  /** The user of a valid token; undefined if it is not one of ours or no longer good. */
  verify(token: string, audiences?: readonly string[]): Promise<VerifiedToken | undefined>;
}

export type VerifiedToken = { readonly user: UserInfo; readonly audiences: readonly string[] };

type Reference = { readonly name: string; readonly uid: string };
type KubernetesClaims = {
  readonly namespace: string;
  readonly serviceaccount: Reference;
  readonly pod?: Reference;
  readonly secret?: Reference;
  readonly node?: Reference;
};

/** A new ES256 signing key as PKCS #8 PEM. */
export async function createTokenKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return exportPKCS8(privateKey);
}

/** The issuer and verifier around one signing key. */
export async function createServiceAccountTokens(
  components: TokenComponents,
  options: TokenOptions,
): Promise<ServiceAccountTokens> {
  const { clock, live } = components;
  const { issuer = DEFAULT_ISSUER, audiences: own = [issuer] } = options;
  const signingKey = await importPKCS8(options.keyPem, 'ES256');
  const publicKeys = [options.keyPem, ...(options.acceptedKeyPems ?? [])].map((pem) =>
    createPublicKey(createPrivateKey(pem)),
  );
  const verified = new Map<string, JWTPayload>();

  async function issue(request: TokenRequest): Promise<IssuedToken> {
    const audiences = request.audiences.length === 0 ? own : request.audiences;
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    const expires = nowSeconds + request.expirationSeconds;
    const bound = request.boundObject;
    const claims: KubernetesClaims = {
      namespace: request.namespace,
      serviceaccount: { name: request.serviceAccount, uid: request.serviceAccountUid },
      ...(bound === undefined
        ? {}
        : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
    };
    const token = await new SignJWT({ 'kubernetes.io': claims })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
      .setIssuer(issuer)
      .setSubject(`system:serviceaccount:${request.namespace}:${request.serviceAccount}`)
      .setAudience([...audiences])
      .setIssuedAt(nowSeconds)
      .setNotBefore(nowSeconds - NOT_BEFORE_SLACK_SECONDS)
      .setExpirationTime(expires)
      .setJti(randomUUID())
      .sign(signingKey);
    const expirationTimestamp = new Date(expires * 1000).toISOString().replace('.000Z', 'Z');
    return { token, expirationTimestamp, audiences };
  }

  async function payloadOf(token: string): Promise<JWTPayload | undefined> {
    const known = verified.get(token);
    if (known !== undefined) return known;
    for (const key of publicKeys) {
      const payload = await jwtVerify(token, key, {
        issuer,
        algorithms: ['ES256'],
        currentDate: new Date(clock.nowMs()),
      }).then(
        (result) => result.payload,
        () => undefined,
      );
      if (payload === undefined) continue;
      if (verified.size >= VERIFIED_TOKENS_MAX) {
        const [oldest] = verified.keys();
        if (oldest !== undefined) verified.delete(oldest);
      }
      verified.set(token, payload);
      return payload;
    }
    return undefined;
  }

  async function verify(
    token: string,
    wanted: readonly string[] = own,
  ): Promise<VerifiedToken | undefined> {
    const payload = await payloadOf(token);
    if (payload === undefined) return undefined;
    // Remembered tokens age too, so expiry is looked at on every use.
    if ((payload.exp ?? 0) * 1000 <= clock.nowMs()) {
      verified.delete(token);
      return undefined;
    }
    const given = typeof payload.aud === 'string' ? [payload.aud] : (payload.aud ?? []);
    const audiences = given.filter((audience) => wanted.includes(audience));
    const claims = claimsOf(payload);
    if (audiences.length === 0 || claims === undefined || !isLive(claims, live)) return undefined;
    return { user: userOf(claims, payload.jti), audiences };
  }

  return { issue, verify };
}

function claimsOf(payload: JWTPayload): KubernetesClaims | undefined {
  const claims = payload['kubernetes.io'] as Partial<KubernetesClaims> | undefined;
  if (claims === undefined || typeof claims.namespace !== 'string') return undefined;
  if (typeof claims.serviceaccount?.name !== 'string') return undefined;
  return claims as KubernetesClaims;
}

/** The account and the bound object must still be the very ones the token was issued for. */
function isLive(claims: KubernetesClaims, live: LiveObjects): boolean {
  const { namespace, serviceaccount, pod, secret, node } = claims;
  if (live.uidOf('ServiceAccount', namespace, serviceaccount.name) !== serviceaccount.uid) {
    return false;
  }
  if (pod !== undefined && live.uidOf('Pod', namespace, pod.name) !== pod.uid) return false;
  if (secret !== undefined && live.uidOf('Secret', namespace, secret.name) !== secret.uid) {
    return false;
  }
  return node === undefined || live.uidOf('Node', '', node.name) === node.uid;
}

function userOf(claims: KubernetesClaims, jti: string | undefined): UserInfo {
  const { namespace, serviceaccount, pod } = claims;
  const extra: Record<string, readonly string[]> = {};
  if (jti !== undefined) extra['authentication.kubernetes.io/credential-id'] = [`JTI=${jti}`];
  if (pod !== undefined) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name];
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid];
  }
  return {
    name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
    uid: serviceaccount.uid,
    groups: serviceAccountGroups(namespace),
    extra,
  };
}

/** Groups of every service account of a namespace. */
export function serviceAccountGroups(namespace: string): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
}
