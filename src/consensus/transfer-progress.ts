/** How far snapshots on the way are: in the log while they are, and as metrics. */

import type { NodeId } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { Counter, Gauge, type Registry } from '../lib/metrics.ts';

export type Direction = 'sending' | 'receiving';

/** Between two lines about one transfer; a short one needs none. */
const LOG_EVERY_MS = 5_000;

/** The book of all transfers of one member. */
export class TransferProgress {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #percent: Gauge | undefined;
  readonly #bytes: Counter | undefined;

  constructor(clock: Clock, logger: Logger, registry: Registry | undefined) {
    this.#clock = clock;
    this.#logger = logger;
    if (registry === undefined) return;
    const registers = [registry];
    this.#percent = new Gauge({
      name: 'skein_raft_snapshot_transfer_percent',
      help: 'How much of a snapshot on its way has passed; gone when none is.',
      labelNames: ['direction', 'peer'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'skein_raft_snapshot_transfer_bytes_total',
      help: 'Bytes of snapshots sent and received.',
      labelNames: ['direction'],
      registers,
    });
  }

  /** Follows one transfer of `size` bytes that begins at `from`. */
  begin(direction: Direction, peer: NodeId, size: number, from: number) {
    let bytes = from;
    let loggedMs = this.#clock.monotonicMs();
    const labels = { direction, peer };
    const percent = () => (size === 0 ? 100 : Math.floor((bytes * 100) / size));
    this.#percent?.set(labels, percent());
    return {
      moved: (count: number): void => {
        bytes += count;
        this.#percent?.set(labels, percent());
        this.#bytes?.inc({ direction }, count);
        const nowMs = this.#clock.monotonicMs();
        if (nowMs - loggedMs < LOG_EVERY_MS) return;
        loggedMs = nowMs;
        this.#logger.info({ peer, percent: percent(), bytes, size }, `${direction} a snapshot`);
      },
      end: (): void => this.#percent?.remove(labels),
    };
  }
}
