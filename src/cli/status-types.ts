/** What `GET /status` of the control socket answers; `skein status -o json` prints it as it is. */

export type MemberStatus = {
  readonly node: string;
  readonly peer: string;
  /** Voter, learner, or known to the cluster without a place in the log's group. */
  readonly role: 'voter' | 'learner' | 'member';
  readonly leader: boolean;
  readonly connected: boolean;
  readonly addresses: readonly string[];
  readonly ready: 'True' | 'False' | 'Unknown';
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
