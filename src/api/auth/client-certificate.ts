/**
 * The user behind a client certificate. TLS completes with any certificate (a stranger's must lead to a 401 in words, not to
 * a broken handshake), so the chain is verified here: signed by a cluster authority, within its time, meant for clients.
 */

import 'reflect-metadata';
import { X509Certificate as NodeCertificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { X509Certificate } from '@peculiar/x509';
import type { Clock } from '../../lib/clock.ts';
import type { UserInfo } from '../types.ts';

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

type Verdict = { readonly user: UserInfo; readonly notAfterMs: number } | 'none' | 'rejected';

export type CertificateVerdict = UserInfo | 'none' | 'rejected';

/** Finds users by certificate; remembers the finding for the life of each connection. */
export class ClientCertificates {
  readonly #authorities: readonly NodeCertificate[];
  readonly #clock: Clock;
  readonly #verdicts = new WeakMap<TLSSocket, Verdict>();

  /** @param authorityPems certificates of the authorities whose clients are let in. */
  constructor(authorityPems: readonly string[], clock: Clock) {
    this.#authorities = authorityPems.map((pem) => new NodeCertificate(pem));
    this.#clock = clock;
  }

  /** The user of the connection, `none` if no certificate was shown, `rejected` if it is not good. */
  userOf(socket: TLSSocket): CertificateVerdict {
    let verdict = this.#verdicts.get(socket);
    if (verdict === undefined) {
      verdict = this.#judge(socket.getPeerX509Certificate?.());
      this.#verdicts.set(socket, verdict);
    }
    if (typeof verdict === 'string') return verdict;
    return verdict.notAfterMs > this.#clock.nowMs() ? verdict.user : 'rejected';
  }

  #judge(certificate: NodeCertificate | undefined): Verdict {
    if (certificate === undefined) return 'none';
    const now = this.#clock.nowMs();
    const notAfterMs = Date.parse(certificate.validTo);
    if (Date.parse(certificate.validFrom) > now || notAfterMs <= now) return 'rejected';
    const signed = this.#authorities.some(
      (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
    );
    // Node names this field keyUsage; it holds the extended key usages.
    if (!signed || !certificate.keyUsage?.includes(CLIENT_AUTH)) return 'rejected';
    const subject = new X509Certificate(certificate.raw).subjectName;
    const [name] = subject.getField('CN');
    if (name === undefined || name === '') return 'rejected';
    const groups = [...subject.getField('O'), 'system:authenticated'];
    return { user: { name, groups }, notAfterMs };
  }
}
