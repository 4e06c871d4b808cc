/**
 * Room on the disk under the log. A log that cannot be written ends the process, so new objects are refused while there
 * is still room for what is under way, for the log's next segments, and for whoever comes to clear up.
 */

import { statfs } from 'node:fs/promises';
import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Growth, WriteGate } from '../store/write-gate.ts';

export type DiskRoomComponents = {
  readonly clock: Clock;
  readonly log: Logger;
  /** Free bytes for unprivileged use on the disk of `directory`. Default: asks the kernel. */
  readonly freeBytes?: (directory: string) => Promise<number>;
};

export type DiskRoomOptions = {
  readonly directory: string;
  /** Free bytes below which nothing new is stored; 0: never refuse. */
  readonly reserveBytes: number;
  /** Called when the disk has become short of room, and again every minute while it is. */
  readonly onShort?: () => void;
};

/** How often the disk is looked at. */
const INTERVAL_MS = 2_000;
/** How often a shortage is told of. */
const REMIND_MS = 60_000;

/** Looks at the disk of one directory. */
export class DiskRoom implements WriteGate {
  readonly #components: DiskRoomComponents;
  readonly #options: DiskRoomOptions;
  #timer: Timer | undefined;
  #freeBytes = Number.POSITIVE_INFINITY;
  #toldMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(components: DiskRoomComponents, options: DiskRoomOptions) {
    this.#components = components;
    this.#options = options;
  }

  /** Looks for the first time, and then regularly until `stop`. */
  async start(): Promise<void> {
    await this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** As last seen; Infinity before the first look. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Why nothing new is stored, or undefined while there is room. */
  problem(): string | undefined {
    const { directory, reserveBytes } = this.#options;
    if (this.#freeBytes >= reserveBytes) return undefined;
    return `the disk of ${directory} has ${mib(this.#freeBytes)} MiB left, and ${mib(reserveBytes)} are kept in reserve (setting diskReserveMib); free some room: until then this node accepts only deletions and updates that do not grow`;
  }

  refuse({ bytes, essential }: Growth): SkeinError | undefined {
    if (bytes <= 0 || essential) return undefined;
    const problem = this.problem();
    return problem === undefined
      ? undefined
      : new SkeinError('store-full', problem, { retryable: true });
  }

  async #look(): Promise<void> {
    const { clock, log, freeBytes = askKernel } = this.#components;
    try {
      this.#freeBytes = await freeBytes(this.#options.directory);
      this.#tell();
    } catch (error) {
      // Whether there is room is not known; the log finds out by itself.
      log.debug({ error: messageOf(error) }, 'free disk space could not be read');
    }
    if (this.#stopped) return;
    this.#timer = clock.after(INTERVAL_MS, () => void this.#look());
  }

  #tell(): void {
    const { clock, log } = this.#components;
    const problem = this.problem();
    const nowMs = clock.monotonicMs();
    if (problem === undefined) {
      this.#toldMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (nowMs - this.#toldMs < REMIND_MS) return;
    this.#toldMs = nowMs;
    log.error({}, problem);
    this.#options.onShort?.();
  }
}

async function askKernel(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

function mib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(0);
}
