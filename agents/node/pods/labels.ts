/**
 * Labels on every container the agent makes. They are all that a later process needs to find and adopt
 * it; the io.kubernetes ones are those that log shippers and monitors read from Docker.
 */

export const LABEL = {
  node: 'dev.skein.node',
  podUid: 'io.kubernetes.pod.uid',
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  container: 'io.kubernetes.container.name',
  type: 'io.kubernetes.docker.type',
  sandboxId: 'io.kubernetes.sandbox.id',
  restartCount: 'io.kubernetes.container.restartCount',
  hash: 'io.kubernetes.container.hash',
} as const;

export const TYPE_SANDBOX = 'podsandbox';
export const TYPE_CONTAINER = 'container';

/** What the labels say of a container of ours; undefined for any other. */
export type Owned = {
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** undefined for the sandbox. */
  readonly container: string | undefined;
  readonly restartCount: number;
  readonly hash: string;
  readonly sandboxId: string;
};

/** Reads the labels back. */
export function ownedBy(labels: Readonly<Record<string, string>>): Owned | undefined {
  const podUid = labels[LABEL.podUid];
  const podName = labels[LABEL.podName];
  const podNamespace = labels[LABEL.podNamespace];
  if (!podUid || !podName || !podNamespace) return undefined;
  const sandbox = labels[LABEL.type] === TYPE_SANDBOX;
  return {
    podUid,
    podName,
    podNamespace,
    container: sandbox ? undefined : labels[LABEL.container],
    restartCount: Number(labels[LABEL.restartCount] ?? 0),
    hash: labels[LABEL.hash] ?? '',
    sandboxId: labels[LABEL.sandboxId] ?? '',
  };
}

/** The filter for all containers of a node's agent. */
export function nodeFilter(nodeName: string): string {
  return `${LABEL.node}=${nodeName}`;
}
