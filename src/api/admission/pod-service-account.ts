/**
 * The identity of a pod's processes: its service account must exist. A new namespace gets its
 * default account from a controller a moment later, so a missing account is waited for, briefly,
 * rather than refused at once.
 */

import type { Container, Pod, ServiceAccount, Volume } from '../../resources/generated/kinds.ts';
import { namespacePrefix, objectKey } from '../../store/keys.ts';
import type { Key, StoredObject, StoreWatch } from '../../store/types.ts';
import { forbidden, subjectOf } from '../status.ts';
import type { VerbsContext } from '../verbs/components.ts';
import { generateName } from '../verbs/names.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

/** How long a pod waits for its service account to be created. */
const ACCOUNT_WAIT_MS = 1_000;
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A little over an hour: kubelets renew at four fifths. */
const TOKEN_SECONDS = 3_607;
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

export const podServiceAccount: AdmissionPlugin = {
  name: 'ServiceAccount',
  handles: ({ kind }, operation) =>
    kind.kind === 'Pod' && kind.group === '' && operation === 'create',
  async admit(request) {
    const pod = request.object as Pod;
    if (pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return;
    const { spec } = pod;
    const name = spec.serviceAccountName ?? spec.serviceAccount ?? 'default';
    spec.serviceAccountName = name === '' ? 'default' : name;
    // The older name of the same field; both are always shown.
    spec.serviceAccount = spec.serviceAccountName;
    const account = await findAccount(request, spec.serviceAccountName);
    if ((spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets !== undefined) {
      spec.imagePullSecrets = structuredClone(account.imagePullSecrets);
    }
    if (request.verbs.settings.mountServiceAccountTokens && wantsToken(pod, account)) {
      mountToken(pod, request.verbs);
    }
  },
};

async function findAccount(request: AdmissionRequest, name: string): Promise<ServiceAccount> {
  const { verbs, target, object, context } = request;
  const namespace = object.metadata.namespace ?? '';
  const key = objectKey({ group: '', plural: 'serviceaccounts', namespace, name });
  const prefix = namespacePrefix('', 'serviceaccounts', namespace);
  const found = verbs.store.get(key) ?? (await arrival(verbs, prefix, key, context.signal));
  if (found !== undefined) return found.object as ServiceAccount;
  throw forbidden(
    subjectOf(target),
    object.metadata.name,
    `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
  );
}

/** The object at `key` once it appears, or undefined after the wait. */
function arrival(
  verbs: VerbsContext,
  prefix: string,
  key: Key,
  signal: AbortSignal | undefined,
): Promise<StoredObject | undefined> {
  return new Promise((resolve) => {
    let watch: StoreWatch | undefined;
    const finish = (found: StoredObject | undefined): void => {
      watch?.close();
      timer.cancel();
      signal?.removeEventListener('abort', giveUp);
      resolve(found);
    };
    const giveUp = (): void => finish(undefined);
    const timer = verbs.clock.after(ACCOUNT_WAIT_MS, giveUp);
    signal?.addEventListener('abort', giveUp, { once: true });
    const watching = verbs.store.watch(prefix, undefined, (events) => {
      const event = events.find((one) => one.type === 'put' && one.object.key === key);
      if (event !== undefined) finish(event.object);
    });
    if (watching.kind === 'watching') watch = watching.watch;
  });
}

function wantsToken(pod: Pod, account: ServiceAccount): boolean {
  return pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
}

function mountToken(pod: Pod, verbs: VerbsContext): void {
  const { spec } = pod;
  const containers: Container[] = [...spec.containers, ...(spec.initContainers ?? [])];
  const without = containers.filter(
    ({ volumeMounts = [] }) => !volumeMounts.some(({ mountPath }) => mountPath === MOUNT_PATH),
  );
  if (without.length === 0) return;
  const name = generateName('kube-api-access-', verbs.random);
  for (const container of without) {
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath: MOUNT_PATH },
    ];
  }
  spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  const namespaceField = { apiVersion: 'v1', fieldPath: 'metadata.namespace' };
  return {
    name,
    projected: {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: namespaceField }] } },
      ],
    },
  };
}
