/** Faults on purpose in what stands on the group: agents, the client's side of the API, what nodes do. */

import type { Mutant } from '../mutants.ts';

type Change = readonly [file: string, find: string, replace: string];

const mutant = (name: string, ...changes: readonly Change[]): Mutant => ({
  name,
  edits: changes.map(([file, find, replace]) => ({ file, find, replace })),
  world: 'cluster',
});
const agent = (name: string, ...changes: readonly Change[]): Mutant =>
  mutant(name, ...changes.map(([file, ...texts]) => [`agents/${file}`, ...texts] as const));

/** Every fault, each to be seen by some checker within a few seeds. */
export const clusterMutants: readonly Mutant[] = [
  agent('agents write without their fence', [
    'cluster/controller.ts',
    'deps.client.fenced(CLUSTER_FENCE, scope.term)',
    'deps.client',
  ]),
  agent('pods of a silent node are evicted at once', [
    'cluster/node-lifecycle/decide.ts',
    'const dueMs = Math.max(0, fromMs + seconds * 1000 - options.nowMs);',
    'const dueMs = Math.max(0, fromMs - options.nowMs);',
  ]),
  agent('a ReplicaSet does not count what is not placed yet', [
    'cluster/replicaset/agent.ts',
    'active: owned.filter(isPodActive),',
    "active: owned.filter((pod) => isPodActive(pod) && (pod.spec.nodeName ?? '') !== ''),",
  ]),
  agent('a pod subnet is chosen without looking at others', [
    'cluster/node-ipam/decide.ts',
    'const taken = nodes.flatMap((other) => subnetsOf(other));',
    'const taken: { start: number; end: number }[] = [];',
  ]),
  agent('a node that is heard again keeps its taints', [
    'cluster/node-lifecycle/decide.ts',
    '!MANAGED_TAINTS.includes(taint.key) ||',
    'taint.effect !== undefined ||',
  ]),
  agent('what is on its way out of a dead node is waited for', [
    'cluster/node-lifecycle/decide.ts',
    '(leaving && !force)',
    'leaving',
  ]),
  agent('slices say that every pod is ready', [
    'cluster/endpoint-slices/decide.ts',
    'const serving = isPodReady(pod);',
    'const serving = true;',
  ]),
  agent('garbage stays', [
    'cluster/garbage-collector/agent.ts',
    'await deleteIfPresent(client, item.kind, object, { propagationPolicy, preconditions });',
    '',
  ]),
  agent('the proxy forgets removals', [
    'node/proxy/proxy.ts',
    'for (const { id } of before) if (!ids.has(id)) this.#pending.set(id, undefined);',
    '',
  ]),
  agent('the proxy does not follow slices', [
    'node/proxy/proxy.ts',
    'slices.subscribe((event) => this.#onSlice(event)),',
    '',
  ]),
  agent('a pod agent does not ask after pods that are gone', [
    'node/pods/supervisor.ts',
    'if (!this.#children.has(uid)) return;\n    const { client',
    'if (uid !== "") return;\n    const { client',
  ]),
  mutant('a Service does not reserve its address', [
    'src/api/admission/allocator.ts',
    "if (request.verbs.store.get(key) !== undefined || isPlanned(request, key)) return 'taken';",
    "if (key !== '') return 'ok';",
  ]),
  mutant('singletons start without a claim', [
    'src/actors/singleton.ts',
    'await claimFence(this.#fence, term, signal);',
    '',
  ]),
];
