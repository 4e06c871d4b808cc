/** The text of a kubeconfig file: one cluster, one user, one context. */

import { stringify } from 'yaml';
import type { KeyPair } from './pki.ts';

export type KubeconfigOptions = {
  /** `https://host:port`. */
  readonly server: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly authorityPem: string;
  /** How the user proves who they are. */
  readonly credentials: KeyPair | { readonly token: string };
  /** Name of cluster and context. Default `skein`. */
  readonly clusterName?: string;
  /** Name of the user entry. Default `admin`. */
  readonly userName?: string;
  /** Default namespace of the context; none unless given. */
  readonly namespace?: string;
};

/** A kubeconfig (YAML) with everything embedded: the file can be copied to another machine. */
export function kubeconfigText(options: KubeconfigOptions): string {
  const { clusterName = 'skein', userName = 'admin', credentials } = options;
  const user =
    'token' in credentials
      ? { token: credentials.token }
      : {
          'client-certificate-data': base64(credentials.certificatePem),
          'client-key-data': base64(credentials.keyPem),
        };
  const context = {
    cluster: clusterName,
    user: userName,
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
  };
  const cluster = {
    server: options.server,
    'certificate-authority-data': base64(options.authorityPem),
  };
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': clusterName,
      clusters: [{ name: clusterName, cluster }],
      users: [{ name: userName, user }],
      contexts: [{ name: clusterName, context }],
    },
    { lineWidth: 0 },
  );
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
