/**
 * After a change of key (or the very first one) the log and the snapshot on this disk still hold what was written before: under the
 * former key, or in plain. This member deletes it by itself, as soon as it has applied the change, and after every restart until
 * it is done. Nobody coordinates anything: a change of leader, or a member that was away, makes no difference.
 */

import type { LogIndex } from '../../../raft/types.ts';
import type { Consensus } from '../../consensus/types.ts';
import { sleep } from '../../lib/async.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Random } from '../../lib/random.ts';
import type { Sealing } from '../../store/sealing.ts';

export type PurgeComponents = {
  readonly consensus: Pick<Consensus, 'oldestStored' | 'discardOld'>;
  readonly sealing: Pick<Sealing, 'since' | 'onChange'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
};

/** Between attempts, while a transfer or another member needs what is to go. */
const RETRY = { initialMs: 250, maxMs: 30_000 };

/** Deletes what is older than the record in force. */
export class Purge {
  readonly #components: PurgeComponents;
  readonly #ending = new AbortController();
  readonly #unfollow: () => void;
  #running: Promise<void> | undefined;
  /** Something changed while the present run may have been looking elsewhere. */
  #again = false;

  /** Begins at once. */
  constructor(components: PurgeComponents) {
    this.#components = components;
    this.#unfollow = components.sealing.onChange(() => this.#wake());
    this.#wake();
  }

  /** What this disk holds that is older than the record in force; undefined when nothing is. */
  async left(): Promise<string | undefined> {
    const { consensus, sealing } = this.#components;
    const { entry, snapshot } = await consensus.oldestStored();
    // The entry at `since` is the record itself, or one that came too late under the former key.
    if (entry !== undefined && entry <= sealing.since) {
      return `log entries from position ${entry} on, and ${sealing.since} is the last to go`;
    }
    if (snapshot === undefined || snapshot >= sealing.since) return undefined;
    return `a snapshot of position ${snapshot}, before ${sealing.since}`;
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    this.#unfollow();
    await this.#running;
  }

  #wake(): void {
    this.#again = this.#running !== undefined;
    if (this.#again || this.#ending.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { consensus, sealing, clock, random, log } = this.#components;
    const { signal } = this.#ending;
    try {
      for (let attempt = 0; !signal.aborted; attempt++) {
        const left = await this.left();
        if (left === undefined) {
          if (attempt > 0) {
            log.info(
              { position: sealing.since },
              'all before the key in force is gone from this disk',
            );
          }
          return;
        }
        log.debug({ left, attempt }, 'deleting what is older than the key in force');
        if (attempt > 0) await sleep(backoffMs(attempt - 1, random, RETRY), clock, signal);
        await consensus.discardOld(sealing.since as LogIndex);
      }
    } catch (error) {
      if (signal.aborted) return;
      log.error(
        { error: messageOf(error) },
        'what is older than the key in force stays on this disk',
      );
    }
  }
}
