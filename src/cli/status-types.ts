/** What the control socket answers: `GET /status` and `GET /secrets`; with `-o json` the commands print it as it is. */

export type MemberStatus = {
  readonly node: string;
  readonly peer: string;
  /** Voter, learner, or known to the cluster without a place in the log's group. */
  readonly role: 'voter' | 'learner' | 'member';
  readonly leader: boolean;
  readonly connected: boolean;
  readonly addresses: readonly string[];
  readonly ready: 'True' | 'False' | 'Unknown';
  /** The feature levels its version understands, and the version; left out until it has said so. */
  readonly levels?: { readonly min: number; readonly max: number };
  readonly version?: string;
};

export type NodeStatusReport = {
  readonly node: string;
  readonly peer: string;
  readonly version: string;
  readonly clusterId: string;
  readonly role: 'follower' | 'pre-candidate' | 'candidate' | 'leader';
  readonly leader: { readonly node: string; readonly peer: string } | undefined;
  readonly term: number;
  readonly commit: number;
  readonly appliedIndex: number;
  /** resourceVersion of the newest applied write. */
  readonly revision: number;
  /** The feature level whose formats the cluster writes: once raised, no version that does not understand it can come back. */
  readonly level: number;
  readonly store: {
    readonly objects: number;
    /** Text and keys of all objects, and what they may take. */
    readonly bytes: number;
    readonly quotaBytes: number;
    /** Watches may resume from here on. */
    readonly oldestRevision: number;
  };
  /** True while this node hears a leader that has a quorum. */
  readonly quorum: boolean;
  /** How many members should vote; fewer do until those that joined have caught up. */
  readonly votersWanted: number;
  readonly members: readonly MemberStatus[];
  readonly apiAddress: string;
  readonly health: readonly {
    readonly check: string;
    readonly ok: boolean;
    readonly detail?: string;
  }[];
};

export type SecretsNodeStatus = {
  readonly node: string;
  /** Pending: its disk still holds something from before the key in force. */
  readonly state: 'done' | 'pending' | 'unreachable';
  readonly detail?: string;
};

export type SecretsStatus = {
  readonly encrypted: boolean;
  /** Resources whose objects are encrypted; empty when nothing is. */
  readonly kinds: readonly string[];
  /** Names the data key in force. */
  readonly dataKey?: string;
  /** Names the key of the cluster, under which data keys are wrapped. */
  readonly clusterKey: string;
  /** When the present state of things was ordered (ISO 8601). */
  readonly since?: string;
  /** Log position behind which everything is as it should be. */
  readonly position: number;
  /** No node's disk holds anything from before. */
  readonly complete: boolean;
  readonly nodes: readonly SecretsNodeStatus[];
};
