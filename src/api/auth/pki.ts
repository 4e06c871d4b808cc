/**
 * The cluster's certificates: one ECDSA P-256 authority made at first start, serving certificates for every node's
 * API and client certificates whose subject is the user. Keys and certificates go in and out as PEM
 * text; where they are kept is the caller's business.
 */

import 'reflect-metadata';
import { createHash, type webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';

/** A certificate and the private key that belongs to it, as PEM (the key in PKCS #8). */
export type KeyPair = { readonly certificatePem: string; readonly keyPem: string };

export type IssueOptions = {
  /** Default 365 days; never beyond the authority's own end. */
  readonly lifetimeMs?: number;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
};

export type AuthorityOptions = IssueOptions & {
  /** Common name of the authority. Default `skein-ca`. */
  readonly commonName?: string;
};

export type ServingRequest = {
  /** Becomes the common name and one of the names. */
  readonly nodeName: string;
  /** Further DNS names and IP addresses under which clients reach this node. */
  readonly addresses: readonly string[];
  /** First address of the service network: where pods find `kubernetes.default`. */
  readonly serviceIp?: string;
};

const DAY_MS = 86_400_000;
/** Default life of the authority. */
export const AUTHORITY_LIFETIME_MS = 3650 * DAY_MS;
/** Default life of serving and client certificates. */
export const LEAF_LIFETIME_MS = 365 * DAY_MS;
/** The clocks of clients and of other members may be behind ours by this much. */
export const BACK_DATING_MS = DAY_MS;

/** Names under which every API server is reached from inside the cluster and from its own host. */
const COMMON_NAMES = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'localhost',
];
const LOOPBACK = ['127.0.0.1', '::1'];

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** Makes a new cluster authority. `lifetimeMs` defaults to ten years. */
export async function createAuthority(options: AuthorityOptions = {}): Promise<KeyPair> {
  const { lifetimeMs = AUTHORITY_LIFETIME_MS, commonName = 'skein-ca' } = options;
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [commonName] }],
    ...validity(lifetimeMs, options.clock),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(
        KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign,
        true,
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString('pem'), keyPem: await keyPem(keys.privateKey) };
}

/** A serving certificate for one node's API, good for its names, the service names and loopback. */
export async function issueServing(
  authority: KeyPair,
  request: ServingRequest,
  options: IssueOptions = {},
): Promise<KeyPair> {
  const names = new Set([request.nodeName, ...COMMON_NAMES, ...LOOPBACK, ...request.addresses]);
  if (request.serviceIp !== undefined) names.add(request.serviceIp);
  const alternatives: JsonGeneralNames = [...names].map((value) => ({
    type: isIP(value) === 0 ? 'dns' : 'ip',
    value,
  }));
  return issue(authority, [{ CN: [request.nodeName] }], options, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(alternatives),
  ]);
}

/** A client certificate: the common name is the user, each organization a group. */
export async function issueClient(
  authority: KeyPair,
  user: { readonly name: string; readonly groups: readonly string[] },
  options: IssueOptions = {},
): Promise<KeyPair> {
  const subject: JsonName = [...user.groups.map((group) => ({ O: [group] })), { CN: [user.name] }];
  return issue(authority, subject, options, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
  ]);
}

/** When the certificate ends, milliseconds since the epoch. */
export function expiresAtMs(certificatePem: string): number {
  return new X509Certificate(certificatePem).notAfter.getTime();
}

/** SHA-256 of the certificate's DER form: what a join token names the authority by. */
export function authorityHash(certificatePem: string): Buffer {
  const der = Buffer.from(new X509Certificate(certificatePem).rawData);
  return createHash('sha256').update(der).digest();
}

async function issue(
  authority: KeyPair,
  subject: JsonName,
  options: IssueOptions,
  extensions: readonly Extension[],
): Promise<KeyPair> {
  const issuer = new X509Certificate(authority.certificatePem);
  const { lifetimeMs = LEAF_LIFETIME_MS } = options;
  const period = validity(lifetimeMs, options.clock);
  if (period.notAfter > issuer.notAfter) period.notAfter = issuer.notAfter;
  if (period.notAfter <= period.notBefore) {
    throw new SkeinError('config-invalid', `the cluster authority ended on ${issuer.notAfter}`);
  }
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: issuer.subjectName,
    ...period,
    publicKey: keys.publicKey,
    signingKey: await signingKeyOf(authority),
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      ...extensions,
      await AuthorityKeyIdentifierExtension.create(issuer),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString('pem'), keyPem: await keyPem(keys.privateKey) };
}

function validity(lifetimeMs: number, clock: Clock = systemClock) {
  const now = clock.nowMs();
  return { notBefore: new Date(now - BACK_DATING_MS), notAfter: new Date(now + lifetimeMs) };
}

/** 127 random bits: unique without a counter, and positive in ASN.1. */
function newSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

async function signingKeyOf(authority: KeyPair): Promise<webcrypto.CryptoKey> {
  const der = PemConverter.decodeFirst(authority.keyPem);
  return crypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}
