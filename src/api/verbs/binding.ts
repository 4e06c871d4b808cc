/** pods/binding: the scheduler's word on where a pod runs. It is given once. */

import { notSupported, required } from '../../resources/field-errors.ts';
import type { Binding, Pod, PodCondition } from '../../resources/generated/kinds.ts';
import type { KubeObject } from '../../resources/types.ts';
import { conflict, invalid, preconditionFailed, subjectOf } from '../status.ts';
import type { ObjectAnswer, RequestContext, Target } from '../types.ts';
import { decodeTyped } from './body.ts';
import { changeObject, type Plan } from './change.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { agreeOnName } from './create.ts';
import { cloneJson } from './json.ts';

const EXPECTED = {
  kind: 'Binding',
  group: '',
  version: 'v1',
  schema: 'io.k8s.api.core.v1.Binding',
};
const SUBJECT = { group: '', plural: 'bindings', kind: 'Binding' };

/** Assigns the pod to the node that the body's Binding names. */
export async function createBinding(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const binding = decodeTyped(context, EXPECTED, body) as Binding;
  const name = target.name ?? binding.metadata.name;
  agreeOnName(name, binding);
  const node = nodeOf(binding, name);
  const { subresource: _binding, ...rest } = target;
  const pod: Target = { ...rest, name };
  await changeObject(verbs, context, pod, (old) => bound(verbs, pod, { old, binding, node }));
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  return { code: 201, bytes: Buffer.from(JSON.stringify(status), 'utf8') };
}

function nodeOf(binding: Binding, name: string): string {
  const { kind = '', name: node = '' } = binding.target ?? {};
  if (kind !== '' && kind !== 'Node') {
    const error = notSupported('target.kind', kind, ['Node', '<empty>']);
    throw invalid(SUBJECT, name, [error]);
  }
  if (node === '') throw invalid(SUBJECT, name, [required('target.name')]);
  return node;
}

type Bind = { readonly old: KubeObject; readonly binding: Binding; readonly node: string };

function bound(verbs: VerbsContext, target: Target, { old, binding, node }: Bind): Plan {
  const pod = cloneJson(old) as Pod;
  const { name, uid, deletionTimestamp } = pod.metadata;
  const subject = subjectOf(target);
  const wantedUid = binding.metadata.uid ?? '';
  if (wantedUid !== '' && wantedUid !== uid) {
    throw preconditionFailed(subject, name, { what: 'UID', wanted: wantedUid, found: uid });
  }
  if (deletionTimestamp !== undefined) {
    throw conflict(subject, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const assigned = pod.spec.nodeName ?? '';
  if (assigned !== '') {
    throw conflict(
      subject,
      name,
      `pod ${name} is already assigned to node ${JSON.stringify(assigned)}`,
    );
  }
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    throw conflict(subject, name, `pod ${name} has non-empty .spec.schedulingGates`);
  }
  pod.spec.nodeName = node;
  if (binding.metadata.annotations !== undefined) {
    pod.metadata.annotations = { ...pod.metadata.annotations, ...binding.metadata.annotations };
  }
  pod.status = { ...pod.status, conditions: scheduled(pod, nowIso(verbs.clock)) };
  return { object: pod };
}

function scheduled(pod: Pod, now: string): PodCondition[] {
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled');
  return [...others, { type: 'PodScheduled', status: 'True', lastTransitionTime: now }];
}
