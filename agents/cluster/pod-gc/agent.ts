/**
 * Removes pods that nobody else will: those bound to nodes that do not exist anymore. A node may be registered anew a
 * moment after it was deleted, so its pods are left alone for a while, and its absence is asked of the API before they go.
 */

import { isNotFound } from '../../../src/client/errors.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { addNodeIndex, NODE_INDEX } from '../pod-index.ts';
import { deleteIfPresent } from '../remove.ts';

export type PodGcOptions = {
  /** How long pods of a missing node are left alone. Default 40 s. */
  readonly quarantineMs?: number;
};

const NAME = 'pod-gc';

/** The collector of orphaned pods as a cluster singleton. */
export function createPodGc(deps: ClusterAgentDeps, options: PodGcOptions = {}) {
  const quarantineMs = options.quarantineMs ?? 40_000;
  return controller(deps, { name: NAME, component: 'pod-garbage-collector' }, (context) => {
    addNodeIndex(context.client.informer('Pod'));
    /** Since when each node has been missing, by the monotonic clock. */
    const missing = new Map<string, number>();
    return runReconciler({
      ...context,
      name: NAME,
      watches: [
        { kind: 'Node', keys: ({ metadata }) => [metadata.name] },
        {
          kind: 'Pod',
          keys: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []),
          filter: ({ type, object }) =>
            type !== 'deleted' && !context.client.informer('Node').get({ name: nodeOf(object) }),
        },
      ],
      reconcile: (node) => reconcile(context, missing, quarantineMs, node),
    }).stopped;
  });
}

async function reconcile(
  { client, clock, logger }: ControllerContext,
  missing: Map<string, number>,
  quarantineMs: number,
  node: string,
): Promise<ReconcileResult> {
  const pods = client.informer('Pod').byIndex(NODE_INDEX, node);
  if (client.informer('Node').get({ name: node }) || pods.length === 0) {
    missing.delete(node);
    return { kind: 'done' };
  }
  const nowMs = clock.monotonicMs();
  const sinceMs = missing.get(node) ?? nowMs;
  missing.set(node, sinceMs);
  const leftMs = sinceMs + quarantineMs - nowMs;
  if (leftMs > 0) return { kind: 'again', afterMs: leftMs };
  try {
    await client.get('Node', { name: node });
    return { kind: 'retry', reason: 'the node exists, and the cache does not show it yet' };
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  logger.info({ node, pods: pods.length }, 'removing pods of a node that does not exist');
  await Promise.all(
    pods.map((pod) => deleteIfPresent(client, 'Pod', pod, { gracePeriodSeconds: 0 })),
  );
  return { kind: 'done' };
}

function nodeOf({ spec }: { readonly spec: { readonly nodeName?: string | undefined } }): string {
  return spec.nodeName ?? '';
}
