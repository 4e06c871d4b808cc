/** The certificates a node makes for itself from the cluster's authority, which every member holds. */

import { kubeconfigText } from '../api/auth/kubeconfig.ts';
import { issueClient, issueServing, type KeyPair } from '../api/auth/pki.ts';
import type { ClusterFile } from './data-dir.ts';

const authorityOf = (file: ClusterFile): KeyPair => ({
  certificatePem: file.caCertificatePem,
  keyPem: file.caKeyPem,
});

/** The first address of a range after its network address: 10.96.0.1 of 10.96.0.0/16. */
export function firstServiceIp(serviceCidr: string): string {
  const bytes = (serviceCidr.split('/')[0] ?? '').split('.').map(Number);
  bytes[3] = (bytes[3] ?? 0) + 1;
  return bytes.join('.');
}

/** A fresh serving certificate; made at every start, so that it always fits the node's addresses. */
export function servingCertificate(
  file: ClusterFile,
  addresses: readonly string[],
): Promise<KeyPair> {
  return issueServing(authorityOf(file), {
    nodeName: file.node,
    addresses,
    serviceIp: firstServiceIp(file.serviceCidr),
  });
}

/** A kubeconfig with a fresh administrator's client certificate. */
export async function adminKubeconfig(file: ClusterFile, server: string): Promise<string> {
  const credentials = await issueClient(authorityOf(file), {
    name: 'skein-admin',
    groups: ['system:masters'],
  });
  return kubeconfigText({
    server,
    authorityPem: file.caCertificatePem,
    credentials,
    userName: 'skein-admin',
  });
}
