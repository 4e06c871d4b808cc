/**
 * Follows who belongs to the cluster: the mesh admits exactly the members, a copy stays on disk for the next
 * start, and our own record says where we are now.
 */

import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { NodeConfig } from './config.ts';
import {
  type ClusterFile,
  type DataPaths,
  type MemberRecord,
  writeClusterFile,
} from './data-dir.ts';
import { type Foundation, ownRecord } from './foundation.ts';
import { admissionOf, announceSelf, followMembers } from './members.ts';

export type MembershipComponents = {
  readonly foundation: Foundation;
  readonly config: NodeConfig;
  readonly paths: DataPaths;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
};

/** Starts following; ends with the signal. */
export function startMembership(components: MembershipComponents): void {
  const { foundation, paths, log, signal } = components;
  const { mesh, store } = foundation;
  let file: ClusterFile = foundation.cluster;
  let writing = Promise.resolve();
  const remember = (members: readonly MemberRecord[]): void => {
    const settled = members.some(({ peer }) => peer === mesh.self);
    const same = JSON.stringify(members) === JSON.stringify(file.members);
    if (same && settled === file.settled) return;
    file = { ...file, members, settled: file.settled || settled };
    const next = file;
    writing = writing
      .then(() => writeClusterFile(paths.cluster, next))
      .catch((error: unknown) => {
        log.error({ error: messageOf(error) }, 'the list of members could not be saved');
      });
  };
  const end = followMembers(store, (members) => {
    // Before the first record is applied the copy from the last run, or from the grant, is what we have.
    if (members.length === 0) return;
    mesh.admit(admissionOf(members, mesh.self));
    remember(members);
  });
  signal.addEventListener('abort', end, { once: true });
  void announce(components, 0);
}

/** Tells the cluster our addresses; keeps trying while there is no quorum. */
async function announce(components: MembershipComponents, attempt: number): Promise<void> {
  const { foundation, config, clock, random, log, signal } = components;
  if (signal.aborted) return;
  try {
    await foundation.store.readBarrier({ signal });
    await announceSelf(foundation.store, ownRecord(foundation.mesh, config), log);
  } catch (error) {
    if (signal.aborted) return;
    log.debug({ error: messageOf(error) }, 'the cluster cannot be told our addresses yet');
    const timer = clock.after(backoffMs(attempt, random, { maxMs: 5000 }), () => {
      void announce(components, attempt + 1);
    });
    signal.addEventListener('abort', () => timer.cancel(), { once: true });
  }
}
