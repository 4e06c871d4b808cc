/** What the checkers may look at of one running process. */

import type { NodeId, RaftStatus } from '../../../raft/types.ts';
import type { DurableView } from '../machine/durable-view.ts';
import type { LogView } from '../world/log-view.ts';
import type { Readable } from './history.ts';

export type Observed = {
  readonly id: NodeId;
  readonly status: RaftStatus;
  /** The log as it was handed out to be written. */
  readonly log: LogView;
  readonly durable: DurableView;
  /** Everything up to here is applied. */
  readonly applied: number;
  /** Where this process began to apply. */
  readonly begunAt: number;
  /** True while a snapshot is being taken over: the core's log is ahead of what was handed out. */
  readonly installing: boolean;
  readonly state: Readable;
};
