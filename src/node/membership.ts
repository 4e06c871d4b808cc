/**
 * Follows who belongs to the cluster: the mesh admits exactly the members, a copy stays on disk for the next
 * start, and our own record says where we are now. A node that finds itself no member any more ends.
 */

import type { Consensus } from '../consensus/types.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf, type SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import {
  type ClusterFile,
  type DataPaths,
  type MemberRecord,
  writeClusterFile,
} from './data-dir.ts';
import { type Foundation, ownRecord } from './foundation.ts';
import { admissionOf, followMembers, putMember } from './members.ts';
import { REMOVED_METHOD, removedError } from './removal.ts';
import type { NodeConfig } from './settings.ts';
import { obeys, supersededError } from './superseded.ts';

export type MembershipComponents = {
  readonly foundation: Pick<Foundation, 'cluster' | 'mesh' | 'store' | 'supersession'> & {
    readonly consensus: Pick<Consensus, 'status'>;
  };
  readonly config: NodeConfig;
  readonly paths: DataPaths;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called when the cluster has removed this node. */
  readonly onRemoved: (error: SkeinError) => void;
  /** Called when this node cannot go on, and is to leave its pods alone. */
  readonly onFatal: (error: Error) => void;
};

const ANNOUNCE_BACKOFF = { initialMs: 100, maxMs: 5000 };

/** Starts following. Returns how to stop; what is being written to disk is finished first. */
export function startMembership(components: MembershipComponents): { stop(): Promise<void> } {
  const membership = new Membership(components);
  return { stop: () => membership.stop() };
}

class Membership {
  readonly #components: MembershipComponents;
  readonly #stopping = new AbortController();
  readonly #unfollow: () => void;
  #file: ClusterFile;
  #writing = Promise.resolve();
  #retry: Timer | undefined;
  #removed = false;
  #supersededBy: string | undefined;
  /** Whom we have heard it from in vain; it is said again with every dial. */
  #disobeyed: string | undefined;

  constructor(components: MembershipComponents) {
    this.#components = components;
    const { foundation, config } = components;
    const { mesh, store, cluster } = foundation;
    this.#file = cluster;
    this.#unfollow = followMembers(store, (members) => {
      // Before the first record is applied the copy from the last run, or from the grant, is what we have.
      if (members.length === 0) return;
      mesh.admit(admissionOf(members, mesh.self, config.peers));
      this.#remember(members);
    });
    mesh.serve(REMOVED_METHOD, async (body) => {
      const { clusterId } = (body ?? {}) as { clusterId?: unknown };
      if (clusterId === cluster.clusterId) this.#endAsRemoved();
      return {};
    });
    const startMs = components.clock.monotonicMs();
    foundation.supersession.follow((by) => this.#onSuperseded(by, startMs));
    void this.#announce(0);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#retry?.cancel();
    this.#unfollow();
    await this.#writing;
  }

  #remember(members: readonly MemberRecord[]): void {
    const { mesh } = this.#components.foundation;
    const settled = this.#file.settled || members.some(({ peer }) => peer === mesh.self);
    const same = JSON.stringify(members) === JSON.stringify(this.#file.members);
    if (same && settled === this.#file.settled) return;
    this.#write({ ...this.#file, members, settled });
  }

  #write(file: ClusterFile): void {
    const { paths, log } = this.#components;
    this.#file = file;
    this.#writing = this.#writing
      .then(() => writeClusterFile(paths.cluster, file))
      .catch((error: unknown) => {
        log.error({ error: messageOf(error) }, 'the list of members could not be saved');
      });
  }

  /** Tells the cluster our addresses; keeps trying while there is no quorum. */
  async #announce(attempt: number): Promise<void> {
    const { foundation, config, clock, random, log } = this.#components;
    const { store, mesh, cluster } = foundation;
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    try {
      await store.readBarrier({ signal });
      const record = ownRecord(mesh, config, cluster.starts);
      // Whoever let us in wrote our record; only the founder has to begin it.
      const mustExist = !(cluster.founder && !this.#file.settled);
      const outcome = await putMember(store, record, { mustExist });
      if (outcome.kind === 'written') {
        log.info({ addresses: record.addresses }, 'the cluster knows the addresses of this node');
      }
      if (outcome.kind === 'absent') this.#endAsRemoved();
    } catch (error) {
      if (signal.aborted) return;
      log.debug({ error: messageOf(error) }, 'the cluster cannot be told our addresses yet');
      const delayMs = backoffMs(attempt, random, ANNOUNCE_BACKOFF);
      this.#retry = clock.after(delayMs, () => void this.#announce(attempt + 1));
    }
  }

  #onSuperseded(by: string, startMs: number): void {
    if (this.#supersededBy === by || this.#stopping.signal.aborted) return;
    const { foundation, clock, log, paths, onFatal } = this.#components;
    const hasLeader = foundation.consensus.status().leader !== undefined;
    if (!obeys({ hasLeader, upMs: clock.monotonicMs() - startMs })) {
      if (this.#disobeyed === by) return;
      this.#disobeyed = by;
      const text =
        'a former member was recovered as a cluster of its own, although this one works: remove it here (skein remove), and reset it there';
      log.error({ cluster: by }, text);
      return;
    }
    this.#supersededBy = by;
    this.#write({ ...this.#file, supersededBy: by });
    void this.#writing.then(() => onFatal(supersededError(by, paths.root)));
  }

  #endAsRemoved(): void {
    if (this.#removed || this.#stopping.signal.aborted) return;
    this.#removed = true;
    const { paths, onRemoved } = this.#components;
    this.#write({ ...this.#file, removed: true });
    const error = removedError(this.#file.clusterId, paths.root);
    void this.#writing.then(() => onRemoved(error));
  }
}
