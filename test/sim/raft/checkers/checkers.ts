/** All checkers of one run behind one door: told of every step, they throw CheckFailure at the first lie. */

import type {
  ConfState,
  Entry,
  HardState,
  Message,
  NodeId,
  RaftStatus,
  SnapshotMeta,
} from '../../../../raft/types.ts';
import type { MachineImage, Outcome } from '../kv-machine.ts';
import type { Process } from '../process.ts';
import { AppliedCheckers } from './applied.ts';
import { ClientCheckers } from './clients.ts';
import { ElectionCheckers } from './elections.ts';
import type { CheckerName, Fail } from './failing.ts';
import { failing } from './failing.ts';
import { History } from './history.ts';
import { LogCheckers, type LogCheckersComponents } from './logs.ts';

export class Checkers {
  readonly fail: Fail;
  readonly history: History;
  readonly clients: ClientCheckers;
  readonly elections: ElectionCheckers;
  readonly applied: AppliedCheckers;
  readonly #logs: LogCheckers;

  constructor(
    founding: SnapshotMeta,
    holds: LogCheckersComponents['holds'],
    skipped: ReadonlySet<CheckerName>,
  ) {
    this.fail = failing(skipped);
    const { fail } = this;
    this.history = new History(founding);
    const { history } = this;
    this.clients = new ClientCheckers(fail, history);
    this.elections = new ElectionCheckers(fail, history);
    this.applied = new AppliedCheckers(fail, history);
    this.#logs = new LogCheckers({ fail, history, elections: this.elections, holds });
  }

  /** A new incarnation found this on its disk. */
  started(process: Process, hardState: HardState | undefined, snapshot: SnapshotMeta): void {
    this.#logs.started(process, hardState);
    if (snapshot.index > 0) this.applied.snapshot(process.id, snapshot, process.machine.image());
  }

  /** An entry is about to be handed to the disk. */
  writes(process: Process, entry: Entry): void {
    this.#logs.writes(process, entry);
    if (entry.kind !== 'config') return;
    const { role, term } = process.status;
    if (role === 'leader' && term === entry.term) this.applied.proposesConfig(process, entry);
  }

  sends(process: Process, message: Message): void {
    this.elections.sends(process, message);
    this.#logs.sends(process, message);
  }

  /** An entry is being applied; whatever the core committed is made known first. */
  applies(
    process: Process,
    step: {
      readonly entry: Entry;
      readonly applied: number;
      readonly outcome: Outcome | undefined;
    },
  ): void {
    if (step.entry.index > this.history.lastIndex) this.#logs.observed(process, process.status);
    this.#logs.applies(process, step.entry);
    this.applied.applies(process, step);
  }

  reconfigured(
    process: Process,
    index: number,
    change: { readonly before: ConfState; readonly after: ConfState },
  ): void {
    this.applied.reconfigured(process, index, change.before, change.after);
    this.#logs.reconfigured(process, change.after);
  }

  restored(process: Process, meta: SnapshotMeta): void {
    this.#logs.restored(process, meta.index);
    this.applied.snapshot(process.id, meta, process.machine.image());
  }

  /** A member takes a snapshot of itself. */
  snapshots(id: NodeId, meta: SnapshotMeta, image: MachineImage): void {
    this.applied.snapshot(id, meta, image);
  }

  /** A turn of `process` ended. */
  observed(process: Process, status: RaftStatus): void {
    if (status.role === 'leader') this.elections.leads(process, status.term);
    if (!process.installing) this.#logs.observed(process, status);
  }
}
