/** What nodes tell the node-lifecycle actor. */

/** How often a node should send a heartbeat. */
export const HEARTBEAT_MS = 500;
/** A peer counts as heard when something came from it within this time before the heartbeat was sent. */
export const PEER_WINDOW_MS = 1000;

/** What a node says of its own readiness, when it has something to say: its container runtime is down, say. */
export type ReportedReadiness = {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
};

/** Sent by every node to the leader over the mesh; costs no consensus. */
export type NodeHeartbeat = {
  readonly kind: 'heartbeat';
  readonly node: string;
  /** The sender's monotonic clock: of two heartbeats of one run the greater is newer. */
  readonly sentAtMonotonic: number;
  /** The nodes this node has heard from within PEER_WINDOW_MS. */
  readonly peersHeard: readonly string[];
  /** One-minute load average, shown to people only. */
  readonly load: number;
  /** Becomes the Node's Ready condition. Default: ready. */
  readonly ready?: ReportedReadiness;
};

export type NodeLifecycleMessage =
  | NodeHeartbeat
  /** The actor's own timer. */
  | { readonly kind: 'tick' }
  /** Its reconciler has ended with the scope. */
  | { readonly kind: 'ended' };
