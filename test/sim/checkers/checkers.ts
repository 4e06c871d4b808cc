/** All checkers of one run behind one door: told of every step, they throw CheckFailure at the first lie. */

import type {
  ConfState,
  Entry,
  HardState,
  Message,
  NodeId,
  RaftStatus,
  SnapshotMeta,
} from '../../../raft/types.ts';
import type { World } from '../world/world.ts';
import { AppliedCheckers, type AppliedStep } from './applied.ts';
import { ClientCheckers } from './clients.ts';
import { ElectionCheckers } from './elections.ts';
import type { CheckerName, Fail } from './failing.ts';
import { failing } from './failing.ts';
import { History } from './history.ts';
import { LogCheckers, type LogCheckersComponents } from './logs.ts';
import type { Observed } from './observed.ts';
import { ProposalCheckers } from './proposals.ts';
import { WatchCheckers } from './watches.ts';

export type CheckersComponents = {
  readonly world: World;
  readonly founding: SnapshotMeta;
  readonly holds: LogCheckersComponents['holds'];
  readonly skipped: ReadonlySet<CheckerName>;
};

export class Checkers {
  readonly fail: Fail;
  readonly history: History;
  readonly clients: ClientCheckers;
  readonly elections: ElectionCheckers;
  readonly applied: AppliedCheckers;
  readonly proposals: ProposalCheckers;
  readonly watches: WatchCheckers;
  readonly #logs: LogCheckers;

  constructor({ world, founding, holds, skipped }: CheckersComponents) {
    this.fail = failing(world, skipped);
    const { fail } = this;
    this.history = new History(founding);
    const { history } = this;
    this.clients = new ClientCheckers(fail, history);
    this.elections = new ElectionCheckers(fail, history);
    this.applied = new AppliedCheckers(fail, history);
    this.proposals = new ProposalCheckers(fail);
    this.watches = new WatchCheckers(fail, history);
    const committed: LogCheckersComponents['committed'] = (index, outcome) =>
      this.proposals.committed(index, outcome);
    this.#logs = new LogCheckers({ fail, history, elections: this.elections, committed, holds });
  }

  /** A new process found this on its disk. */
  started(process: Observed, hardState: HardState | undefined, snapshot: SnapshotMeta): void {
    this.#logs.started(process, hardState);
    if (snapshot.index > 0) this.applied.snapshot(process.id, snapshot, process.state);
  }

  /** An entry is about to be handed to the disk. */
  writes(process: Observed, entry: Entry): void {
    this.#logs.writes(process, entry);
    if (entry.kind !== 'config') return;
    const { role, term } = process.status;
    if (role === 'leader' && term === entry.term) this.applied.proposesConfig(process, entry);
  }

  sends(process: Observed, message: Message): void {
    this.elections.sends(process, message);
    this.#logs.sends(process, message);
  }

  /** Entries up to `index` are about to be applied: whatever the core committed is made known first. */
  aboutToApply(process: Observed, index: number): void {
    if (index > this.history.lastIndex) this.#logs.observed(process, process.status);
  }

  applies(process: Observed, step: AppliedStep): void {
    this.#logs.applies(process, step.entry);
    this.applied.applies(process, step);
  }

  reconfigured(
    process: Observed,
    index: number,
    change: { readonly before: ConfState; readonly after: ConfState },
  ): void {
    // The configuration of a snapshot that is being taken over is in force already.
    if (!process.installing) {
      this.applied.reconfigured(process, index, change.before, change.after);
    }
    this.#logs.reconfigured(process, change.after);
  }

  restored(process: Observed, meta: SnapshotMeta): void {
    this.#logs.restored(process, meta.index);
    this.applied.snapshot(process.id, meta, process.state);
  }

  /** A member takes a snapshot of itself. */
  snapshots(id: NodeId, meta: SnapshotMeta): void {
    this.applied.snapshot(id, meta, undefined);
  }

  /** A turn of `process` ended. */
  observed(process: Observed, status: RaftStatus): void {
    if (status.role === 'leader') this.elections.leads(process, status.term);
    if (!process.installing) this.#logs.observed(process, status);
  }
}
