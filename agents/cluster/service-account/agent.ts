/** Gives every namespace its `default` ServiceAccount and the ConfigMap with the cluster's CA, and restores both. */

import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../src/client/errors.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { Client, ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, controller } from '../controller.ts';
import type { ConfigMap, ServiceAccount } from '../kinds.ts';
import { sameStatus } from '../statuses.ts';

export type ServiceAccountOptions = {
  /** The cluster CA's certificate, PEM. */
  readonly caCertificate: string;
};

const NAME = 'service-account';
const ACCOUNT = 'default';
const ROOT_CA = 'kube-root-ca.crt';
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

/** The controller of default accounts and root certificates as a cluster singleton. */
export function createServiceAccountController(
  deps: ClusterAgentDeps,
  options: ServiceAccountOptions,
) {
  const names = { name: NAME, component: 'service-account-controller' };
  return controller(
    deps,
    names,
    (context) =>
      runReconciler({
        ...context,
        name: NAME,
        watches: [
          { kind: 'Namespace', keys: ({ metadata }) => [metadata.name] },
          {
            kind: 'ServiceAccount',
            keys: ({ metadata }) => (metadata.name === ACCOUNT ? [metadata.namespace ?? ''] : []),
          },
          {
            kind: 'ConfigMap',
            keys: ({ metadata }) => (metadata.name === ROOT_CA ? [metadata.namespace ?? ''] : []),
          },
        ],
        reconcile: (namespace) => reconcile(context.client, namespace, options.caCertificate),
      }).stopped,
  );
}

async function reconcile(
  client: Client,
  name: string,
  caCertificate: string,
): Promise<ReconcileResult> {
  const namespace = client.informer('Namespace').get({ name });
  if (!namespace || namespace.metadata.deletionTimestamp !== undefined) return { kind: 'done' };
  try {
    await Promise.all([ensureAccount(client, name), ensureRootCa(client, name, caCertificate)]);
  } catch (error) {
    if (!isNamespaceTerminating(error) && !isNotFound(error)) throw error;
  }
  return { kind: 'done' };
}

async function ensureAccount(client: Client, namespace: string): Promise<void> {
  if (client.informer('ServiceAccount').get({ namespace, name: ACCOUNT })) return;
  const account: ServiceAccount = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: ACCOUNT, namespace },
  };
  await client.create('ServiceAccount', account).catch(ignoreExisting);
}

async function ensureRootCa(
  client: Client,
  namespace: string,
  caCertificate: string,
): Promise<void> {
  const present = client.informer('ConfigMap').get({ namespace, name: ROOT_CA });
  const data = { 'ca.crt': caCertificate };
  if (!present) {
    const configMap: ConfigMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: ROOT_CA,
        namespace,
        annotations: { 'kubernetes.io/description': DESCRIPTION },
      },
      data,
    };
    await client.create('ConfigMap', configMap).catch(ignoreExisting);
  } else if (!sameStatus(present.data ?? {}, data)) {
    await client.update('ConfigMap', { ...present, data });
  }
}

function ignoreExisting(error: unknown): void {
  if (!isAlreadyExists(error)) throw error;
}
