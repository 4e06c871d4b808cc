/**
 * pods/eviction: a delete that asks the disruption budget first. The budget's count goes down in
 * the same transaction as the pod, so two evictions cannot spend one allowance.
 */

import type { Pod } from '../../resources/generated/kinds.ts';
import { matchesLabelSelector } from '../../resources/labels.ts';
import type { KubeObject, ResourceKind } from '../../resources/types.ts';
import { namespacePrefix } from '../../store/keys.ts';
import type { StoredObject } from '../../store/types.ts';
import { badRequest, failure } from '../status.ts';
import type { DeleteOptions, ObjectAnswer, RequestContext, Target } from '../types.ts';
import { changeObject, type Plan } from './change.ts';
import { nowIso, type VerbsContext } from './components.ts';
import { checkDeleteOptions, deletionPlanner } from './delete.ts';
import { encodeObject } from './encode.ts';
import { cloneJson, isRecord } from './json.ts';

/** A PodDisruptionBudget as far as an eviction reads and writes it. */
type Budget = KubeObject & {
  readonly spec?: { readonly selector?: Parameters<typeof matchesLabelSelector>[0] };
  status?: {
    observedGeneration?: number;
    disruptionsAllowed?: number;
    currentHealthy?: number;
    desiredHealthy?: number;
    disruptedPods?: Record<string, string>;
  };
};

const VERSIONS = ['policy/v1', 'policy/v1beta1'];
/** Pods that a budget may remember as on their way out. */
const DISRUPTED_MAX = 2_000;
const BUDGET_RETRY_SECONDS = 10;
const REFUSED = "Cannot evict pod as it would violate the pod's disruption budget.";

/** Evicts a pod, or answers 429 while its budget does not allow it. */
export async function createEviction(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  const options = decodeEviction(target, body);
  const { subresource: _eviction, ...pod } = target;
  const deletion = deletionPlanner(verbs, context, pod, options);
  await changeObject(verbs, context, pod, async (old, stored) => {
    const plan = await deletion(old, stored);
    return needsBudget(old as Pod) ? spendBudget(verbs, old as Pod, plan) : plan;
  });
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  return { code: 201, bytes: Buffer.from(JSON.stringify(status), 'utf8') };
}

function decodeEviction(target: Target, body: unknown): DeleteOptions {
  if (!isRecord(body)) throw badRequest('the body is not an Eviction');
  const { apiVersion, kind, metadata, deleteOptions } = body;
  if (kind !== undefined && kind !== 'Eviction') throw badRequest('the body is not an Eviction');
  if (apiVersion !== undefined && !VERSIONS.includes(String(apiVersion))) {
    throw badRequest(`Eviction is not known in version ${JSON.stringify(apiVersion)}`);
  }
  const name = isRecord(metadata) ? metadata['name'] : undefined;
  if (typeof name === 'string' && name !== '' && name !== target.name) {
    throw badRequest(`name in URL does not match name in Eviction object: ${target.name}, ${name}`);
  }
  const options = isRecord(deleteOptions) ? (deleteOptions as DeleteOptions) : {};
  checkDeleteOptions(options);
  return options;
}

/** A pod that is over, was never placed, or is going already costs its budget nothing. */
function needsBudget(pod: Pod): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  const phase = pod.status?.phase ?? 'Pending';
  return phase !== 'Succeeded' && phase !== 'Failed' && phase !== 'Pending';
}

function spendBudget(verbs: VerbsContext, pod: Pod, plan: Plan): Plan {
  const kind = verbs.kindNamed('PodDisruptionBudget');
  if (kind === undefined) return plan;
  const budgets = budgetsOf(verbs, kind, pod);
  if (budgets.length > 1) {
    const text =
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
    throw failure(500, 'InternalError', text);
  }
  const [stored] = budgets;
  if (stored === undefined) return plan;
  const budget = cloneJson(stored.object as Budget);
  spend(budget, pod, nowIso(verbs.clock));
  const { key, revision } = stored;
  return {
    ...plan,
    checks: [...(plan.checks ?? []), { key, is: 'at', revision }],
    operations: [...(plan.operations ?? []), { op: 'put', key, ...encodeObject(kind, budget) }],
  };
}

function budgetsOf(verbs: VerbsContext, kind: ResourceKind, pod: Pod): StoredObject[] {
  const { namespace = '', labels } = pod.metadata;
  const listed = verbs.store.list(namespacePrefix(kind.group, kind.plural, namespace));
  if (listed.kind !== 'listed') return [];
  return listed.items.filter((item) =>
    matchesLabelSelector((item.object as Budget).spec?.selector, labels),
  );
}

function spend(budget: Budget, pod: Pod, now: string): void {
  const { name, generation = 0 } = budget.metadata;
  const status = budget.status ?? {};
  const { observedGeneration = 0, disruptionsAllowed = 0, disruptedPods = {} } = status;
  if (observedGeneration < generation) {
    throw refused(`The disruption budget ${name} is still being processed by the server.`);
  }
  if (disruptionsAllowed <= 0 || Object.keys(disruptedPods).length > DISRUPTED_MAX) {
    const { desiredHealthy = 0, currentHealthy = 0 } = status;
    throw refused(
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
    );
  }
  budget.status = {
    ...status,
    disruptionsAllowed: disruptionsAllowed - 1,
    disruptedPods: { ...disruptedPods, [pod.metadata.name]: now },
  };
}

function refused(message: string): Error {
  return failure(429, 'TooManyRequests', REFUSED, {
    causes: [{ reason: 'DisruptionBudget', message }],
    retryAfterSeconds: BUDGET_RETRY_SECONDS,
  });
}
