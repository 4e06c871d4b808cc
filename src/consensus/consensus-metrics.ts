/** What consensus measures of itself, for /metrics. */

import type { RaftStatus } from '../../raft/types.ts';
import { Counter, Gauge, Histogram, type Registry } from '../lib/metrics.ts';
import type { FileStorageOptions } from './file-storage.ts';

/** For `onCommit` of file storage: how long group commits take, and how many batches share one. */
export function observeGroupCommits(
  registry: Registry,
): NonNullable<FileStorageOptions['onCommit']> {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'skein_wal_commit_seconds',
    help: 'Time of a write and sync of the log.',
    buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
    registers,
  });
  const batches = new Histogram({
    name: 'skein_wal_commit_batches',
    help: 'Batches that shared one sync of the log.',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  return (group) => {
    seconds.observe(group.ms / 1000);
    batches.observe(group.batches);
  };
}

/** The metrics of one member; without a registry nothing is kept. */
export class ConsensusMetrics {
  readonly #proposals: Counter | undefined;
  readonly #gauges: readonly (readonly [Gauge, (status: RaftStatus, pending: number) => number])[];

  constructor(registry: Registry | undefined) {
    const registers = registry === undefined ? [] : [registry];
    this.#proposals =
      registry &&
      new Counter({
        name: 'skein_raft_proposals_total',
        help: 'Proposals this node appended to the log as leader.',
        registers,
      });
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    this.#gauges =
      registry === undefined
        ? []
        : [
            [gauge('skein_raft_term', 'The current term.'), (status) => status.term],
            [
              gauge('skein_raft_leads', '1 if this node leads.'),
              (status) => (status.role === 'leader' ? 1 : 0),
            ],
            [gauge('skein_raft_commit_index', 'The commit index.'), (status) => status.commit],
            [
              gauge('skein_raft_apply_lag', 'Entries committed and not applied here.'),
              (status) => status.commit - status.applied,
            ],
            [
              gauge('skein_raft_proposals_pending', 'Proposals of this node in flight.'),
              (_status, pending) => pending,
            ],
          ];
  }

  proposed(count: number): void {
    this.#proposals?.inc(count);
  }

  observe(status: RaftStatus, pending: number): void {
    for (const [gauge, value] of this.#gauges) gauge.set(value(status, pending));
  }
}
