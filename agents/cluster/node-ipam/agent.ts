/**
 * Gives each node its pod subnet. Subnets are handed out one at a time by the only leader: its writes are fenced by
 * term and conditional on the node's version, and its view of the nodes includes all its own writes, so two nodes
 * never get the same.
 */

import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { type ClusterRange, clusterRange, decideSubnet } from './decide.ts';

export type NodeIpamOptions = {
  /** The range all pod addresses come from. Default 10.244.0.0/16. */
  readonly clusterCidr?: string;
  /** Prefix length of a node's subnet. Default 24. */
  readonly nodePrefix?: number;
};

const NAME = 'node-ipam';
/** Subnets remembered while the cache may lag behind: it never lags by that many nodes. */
const HANDED_OUT_MAX = 1000;

/** The allocator of pod subnets as a cluster singleton. */
export function createNodeIpam(deps: ClusterAgentDeps, options: NodeIpamOptions = {}) {
  const range = clusterRange(options.clusterCidr ?? '10.244.0.0/16', options.nodePrefix ?? 24);
  return controller(deps, { name: NAME, component: 'cidr-allocator' }, (context) => {
    /** Handed out by this run, by uid, should the cache lag behind. */
    const handedOut = new Map<string, string>();
    return runReconciler({
      ...context,
      name: NAME,
      // One at a time: each decision must see the one before.
      concurrency: 1,
      watches: [{ kind: 'Node', keys: ({ metadata }) => [metadata.name] }],
      reconcile: (key) => reconcile(context, range, handedOut, key),
    }).stopped;
  });
}

async function reconcile(
  { client, events }: ControllerContext,
  range: ClusterRange,
  handedOut: Map<string, string>,
  name: string,
): Promise<ReconcileResult> {
  const informer = client.informer('Node');
  const node = informer.get({ name });
  if (!node) return { kind: 'done' };
  const nodes = informer.list().map((other) => {
    const podCIDR = other.spec.podCIDR ?? handedOut.get(other.metadata.uid ?? '');
    return podCIDR === undefined ? other : { ...other, spec: { ...other.spec, podCIDR } };
  });
  const self = nodes.find((other) => other.metadata.name === name) ?? node;
  const allocation = decideSubnet(self, nodes, range);
  if (allocation.kind === 'kept') return { kind: 'done' };
  if (allocation.kind === 'exhausted') {
    const text = `Node ${name} status is now: CIDRNotAvailable`;
    const subject = { apiVersion: 'v1', kind: 'Node', metadata: node.metadata };
    events.event(subject, 'Normal', 'CIDRNotAvailable', text);
    return { kind: 'retry', reason: `all ${allocation.subnets} pod subnets are taken` };
  }
  const { cidr } = allocation;
  const { resourceVersion } = node.metadata;
  const body = { metadata: { resourceVersion }, spec: { podCIDR: cidr, podCIDRs: [cidr] } };
  await client.patch('Node', { name }, { type: 'merge', body });
  handedOut.set(node.metadata.uid ?? '', cidr);
  if (handedOut.size > HANDED_OUT_MAX) handedOut.delete([...handedOut.keys()][0] ?? '');
  return { kind: 'done' };
}
