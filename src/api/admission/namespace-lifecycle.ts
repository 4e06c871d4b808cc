/**
 * Nothing is created in a namespace that is missing or going away. The namespace's revision becomes
 * a condition of the transaction: a create that races with the namespace's deletion is decided by
 * the log, so the namespace controller's last look at an emptied namespace stays true.
 */

import type { KubeObject } from '../../resources/types.ts';
import { objectKey } from '../../store/keys.ts';
import type { StoredObject } from '../../store/types.ts';
import { forbidden, notFound, subjectOf } from '../status.ts';
import { barrier } from '../verbs/freshness.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

/** Namespaces that the cluster cannot do without. */
const IMMORTAL: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  handles: ({ kind }, operation) =>
    (operation === 'create' && kind.namespaced) ||
    (operation === 'delete' && kind.kind === 'Namespace' && kind.group === ''),
  admit: (request) => (request.operation === 'delete' ? refuseImmortal(request) : exists(request)),
};

function refuseImmortal({ target, object }: AdmissionRequest): void {
  const { name } = object.metadata;
  if (IMMORTAL.has(name)) {
    throw forbidden(subjectOf(target), name, 'this namespace may not be deleted');
  }
}

async function exists(request: AdmissionRequest): Promise<void> {
  const { verbs, context, target, object, checks } = request;
  const namespace = object.metadata.namespace ?? '';
  const key = objectKey({ group: '', plural: 'namespaces', name: namespace });
  let found = verbs.store.get(key);
  if (found === undefined) {
    // It may have been created through another node a moment ago.
    await barrier(verbs, context);
    found = verbs.store.get(key);
  }
  if (found === undefined) throw notFound({ group: '', plural: 'namespaces' }, namespace);
  if (isTerminating(found)) {
    throw forbidden(
      subjectOf(target),
      object.metadata.name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }
  checks.push({ key, is: 'at', revision: found.revision });
}

function isTerminating(namespace: StoredObject): boolean {
  return (namespace.object as KubeObject).metadata.deletionTimestamp !== undefined;
}
