/** What consensus measures of itself, for /metrics. */

import type { RaftStatus } from '../../raft/types.ts';
import { Counter, Gauge, type Registry } from '../lib/metrics.ts';

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
