/**
 * Whole members in one process: real consensus and store on the memory mesh, with disks that outlive them. Time is
 * real; tests wait for conditions.
 */

import { createConsensus } from '../../src/consensus/consensus.ts';
import type { ConsensusOptions } from '../../src/consensus/consensus-options.ts';
import { createMemoryStorage, MemoryDisk } from '../../src/consensus/memory-storage.ts';
import type { Storage } from '../../src/consensus/storage.ts';
import type { Consensus, LeadershipEvent } from '../../src/consensus/types.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger, type Logger, silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { Mesh } from '../../src/mesh/types.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Store } from '../../src/store/types.ts';
import { MemoryNetwork } from './memory-mesh.ts';

export type TestMember = {
  readonly name: string;
  readonly mesh: Mesh;
  readonly consensus: Consensus;
  readonly state: StoreState;
  readonly store: Store;
  readonly leadership: LeadershipEvent[];
  readonly fatal: unknown[];
};

export type TestClusterOptions = {
  readonly consensus?: ConsensusOptions;
  /** Storage of a member. Default: in memory. */
  readonly storage?: (name: string) => Storage;
  /** The state of a member that starts. Default: an empty one. */
  readonly state?: (name: string, logger: Logger) => StoreState;
};

const QUICK: ConsensusOptions = { tickMs: 20, membership: { promotionStableMs: 100 } };

/** A group of members that tests start, kill and cut off. */
export class TestCluster {
  readonly network = new MemoryNetwork();
  readonly disks = new Map<string, MemoryDisk>();
  readonly members = new Map<string, TestMember>();
  readonly #options: TestClusterOptions;
  readonly #logger: Logger;
  readonly #alive = setInterval(() => {}, 1000);

  constructor(options: TestClusterOptions = {}) {
    this.#options = options;
    this.#logger = process.env['SKEIN_TEST_LOG'] ? createLogger('debug') : silentLogger;
  }

  /** A running group of `names`; the first one begins it. */
  static async of(
    names: readonly string[],
    options: TestClusterOptions = {},
  ): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    const [first = 'a', ...others] = names;
    const founder = await cluster.start(first, { bootstrap: true });
    for (const name of others) {
      await cluster.start(name);
      await founder.consensus.addMember(name);
    }
    const voters = names.length % 2 === 1 ? names.length : names.length - 1;
    // Everywhere, and with the joint configuration left: until then the founder cannot be spared.
    await until(() => {
      const confs = [...cluster.members.values()].map((one) => one.consensus.status().confState);
      return confs.every((c) => c.voters.length === voters && c.votersOutgoing.length === 0);
    }, `${voters} voters`);
    return cluster;
  }

  async start(name: string, options: ConsensusOptions = {}): Promise<TestMember> {
    const disk = this.disks.get(name) ?? new MemoryDisk();
    this.disks.set(name, disk);
    const logger = this.#logger.child({ member: name });
    const state = this.#options.state?.(name, logger) ?? new StoreState({ logger });
    const mesh = this.network.start(name);
    const fatal: unknown[] = [];
    const consensus = await createConsensus(
      {
        mesh,
        storage:
          this.#options.storage?.(name) ??
          createMemoryStorage(disk, { nodeId: name, clusterId: 'test' }),
        stateMachine: state,
        clock: systemClock,
        random: seededRandom(name.charCodeAt(0)),
        logger,
      },
      { ...QUICK, onFatal: (error) => fatal.push(error), ...this.#options.consensus, ...options },
    );
    const leadership: LeadershipEvent[] = [];
    consensus.onLeadership((event) => leadership.push(event));
    const store = createReplicatedStore({ state, consensus, random: seededRandom(1) });
    const member = { name, mesh, consensus, state, store, leadership, fatal };
    this.members.set(name, member);
    return member;
  }

  member(name: string): TestMember {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`${name} does not run`);
    return member;
  }

  /** The process dies; its disk stays. */
  kill(name: string): void {
    const member = this.member(name);
    this.members.delete(name);
    this.network.kill(name);
    void member.consensus.stop();
  }

  /** The member that all of `names` (default: everybody) follow. */
  async leader(names: readonly string[] = [...this.members.keys()]): Promise<TestMember> {
    let leader: string | undefined;
    await until(() => {
      const seen = new Set(names.map((name) => this.member(name).consensus.status().leader));
      [leader] = seen;
      return seen.size === 1 && leader !== undefined && names.includes(leader);
    }, 'one leader');
    return this.member(leader ?? '');
  }

  followers(leader: TestMember): TestMember[] {
    return [...this.members.values()].filter((member) => member !== leader);
  }

  async stop(): Promise<void> {
    clearInterval(this.#alive);
    await Promise.all([...this.members.values()].map(({ consensus }) => consensus.stop()));
    for (const name of [...this.members.keys()]) this.network.kill(name);
    this.members.clear();
  }
}

/** Waits until `condition` holds; fails after `deadlineMs`. */
export async function until(
  condition: () => boolean,
  what: string,
  deadlineMs = 15_000,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
