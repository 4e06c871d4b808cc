/**
 * `skein backup`: the whole state of a running cluster at one revision, from whichever node is asked. The node makes sure that
 * it has everything that was acknowledged, takes a view that later writes do not change, and streams it: whoever reads
 * slowly holds only the stream up, and only what changes meanwhile is kept twice.
 */

import type { Consensus } from '../../consensus/types.ts';
import type { Clock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';
import type { StoreState } from '../../store/state.ts';
import type { Store } from '../../store/types.ts';
import { ControlStream } from '../control-server.ts';
import type { ClusterFile } from '../data-dir.ts';
import { readMembers } from '../members.ts';
import { BACKUP_VERSION, type BackupHeader, encodeBackup } from './backup-format.ts';
import { keysOf, type SealKeysOptions, sealKeys } from './backup-keys.ts';

export type BackupComponents = {
  readonly store: Pick<Store, 'readBarrier'>;
  readonly state: StoreState;
  readonly consensus: Pick<Consensus, 'status' | 'levels'>;
  readonly cluster: ClusterFile;
  readonly clock: Clock;
  readonly product: string;
};

export type BackupRequest = {
  /** What this node has applied, although nobody can say whether there is more: for a cluster without a quorum. Default false. */
  readonly local?: boolean;
  /** Seals the cluster's keys into the backup. Default: they are left out. */
  readonly passphrase?: string;
};

/** Backups under way at a time: each keeps alive what changes meanwhile. */
const BACKUPS_MAX = 2;

/** Serves backups of one node. */
export class Backups {
  readonly #components: BackupComponents;
  readonly #options: SealKeysOptions;
  #underWay = 0;

  constructor(components: BackupComponents, options: SealKeysOptions = {}) {
    this.#components = components;
    this.#options = options;
  }

  /** Begins a backup. Rejects with no-leader when there is no quorum and `local` was not asked for, with overloaded. */
  async begin(request: BackupRequest): Promise<ControlStream> {
    const { store, state, cluster } = this.#components;
    const { local = false, passphrase } = request;
    if (this.#underWay >= BACKUPS_MAX) {
      const text = `${BACKUPS_MAX} backups are being made here; ask another node, or wait`;
      throw new SkeinError('overloaded', text, { retryable: true });
    }
    this.#underWay++;
    try {
      const keys =
        passphrase === undefined
          ? undefined
          : await sealKeys(keysOf(cluster), passphrase, this.#options);
      if (!local) await store.readBarrier();
      // In one turn: what the header says is what the stream holds.
      const header = this.#header(!local, keys !== undefined);
      const source = state.snapshot();
      const end = () => {
        source.release();
        this.#underWay--;
      };
      return new ControlStream(encodeBackup(header, keys, source.chunks({ overwrite: true })), end);
    } catch (error) {
      this.#underWay--;
      throw error;
    }
  }

  #header(linearizable: boolean, keys: boolean): BackupHeader {
    const { state, consensus, cluster, clock, product } = this.#components;
    const { clusterId, clusterCidr, serviceCidr, node } = cluster;
    return {
      format: 'skein-backup',
      version: BACKUP_VERSION,
      product,
      clusterId,
      clusterCidr,
      serviceCidr,
      node,
      time: new Date(clock.nowMs()).toISOString(),
      revision: state.revision(),
      index: state.appliedIndex,
      term: consensus.status().term,
      level: consensus.levels().level,
      objects: state.count('/'),
      members: readMembers(state).map((member) => member.node),
      linearizable,
      keys,
      clusterKey: state.sealing.inForce?.record.key?.clusterKey ?? null,
    };
  }
}
