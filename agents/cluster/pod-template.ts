/** Pods made from a template by a controller. Pure. */

import type { KubeObject, OwnerReference } from '../../src/resources/types.ts';
import type { Pod, PodTemplateSpec } from './kinds.ts';

/** A pod of `template` in the owner's namespace; the API gives it a name that starts with the owner's. */
export function podFromTemplate(
  owner: KubeObject,
  template: PodTemplateSpec,
  reference: OwnerReference,
): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: '',
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace ?? '',
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [reference],
    },
    spec: structuredClone(template.spec),
  };
}
