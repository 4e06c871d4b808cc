/** Whether this node is well: one list of checks behind /livez, /readyz, `skein status` and the heartbeat. */

import type { ReportedReadiness } from '../../agents/cluster/index.ts';
import type { HealthCheck } from '../api/http/health.ts';
import type { Foundation } from './foundation.ts';
import type { NodeConfig } from './settings.ts';
import { type NodeHealth, reportStatus } from './status-report.ts';

/** What the pod agent says of its runtime: undefined when well. */
export type RuntimeHealth = { runtimeProblem(): string | undefined };

/** A node's checks. */
export class NodeHealthChecks {
  readonly #foundation: Foundation;
  readonly #config: NodeConfig;
  #pods: RuntimeHealth | undefined;

  constructor(foundation: Foundation, config: NodeConfig) {
    this.#foundation = foundation;
    this.#config = config;
  }

  /** The pod agent exists only once the API does. */
  watchPods(pods: RuntimeHealth): void {
    this.#pods = pods;
  }

  readonly checks: readonly HealthCheck[] = [
    { name: 'store', of: 'ready', check: () => this.#storeProblem() },
    { name: 'quorum', of: 'ready', check: () => this.#quorumProblem() },
    { name: 'runtime', of: 'ready', check: () => this.#pods?.runtimeProblem() },
  ];

  report(): readonly NodeHealth[] {
    const { quota, diskRoom } = this.#foundation;
    // A node without room still serves: reads, deletions, everything that is there.
    return [
      ...this.checks.map(({ name, check }) => ({ check: name, why: check() })),
      { check: 'space', why: quota.problem() },
      { check: 'disk', why: diskRoom.problem() },
    ];
  }

  /** What the heartbeat carries; undefined when there is nothing to complain about. */
  reportedReadiness(): ReportedReadiness | undefined {
    const problem = this.#pods?.runtimeProblem();
    if (problem === undefined) return undefined;
    return { status: 'False', reason: 'KubeletNotReady', message: problem };
  }

  #storeProblem(): string | undefined {
    return this.#foundation.store.revision() > 0
      ? undefined
      : 'no state of the cluster has arrived yet';
  }

  #quorumProblem(): string | undefined {
    const { foundation, config } = { foundation: this.#foundation, config: this.#config };
    const { quorum, leader } = reportStatus(foundation, config, { version: '', health: [] });
    if (quorum) return undefined;
    return leader === undefined
      ? 'no leader is known: writes are refused, workloads and services go on'
      : 'the leader is out of reach of a majority';
  }
}
