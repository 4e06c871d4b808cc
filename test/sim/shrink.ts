/**
 * Makes a failing story shorter, as long as it fails with the same law: first without whole kinds of trouble, then without
 * single blows, then in less time, with fewer clients and members. What is left is what it takes.
 */

import type { Failure, RunOptions } from './simulation.ts';
import { runSeed } from './simulation.ts';
import { switches, switchOff } from './switches.ts';
import type { SwarmOptions } from './world/swarm.ts';

/** A story under one seed, cut down. */
export type Cut = {
  /** Kinds of trouble that are switched off. */
  readonly off: readonly string[];
  /** Blows that are left out, by number. */
  readonly spare: readonly number[];
  /** Length of the faulty phase; undefined: as drawn. */
  readonly faultyMs: number | undefined;
  readonly clients: number | undefined;
};

export type Shrunk = {
  readonly cut: Cut;
  readonly failure: Failure;
  /** Runs it took to find out. */
  readonly runs: number;
  /** Blows that are left. */
  readonly blows: number;
};

export const whole: Cut = { off: [], spare: [], faultyMs: undefined, clients: undefined };

/** The run options of a cut story. */
export function cutOptions(cut: Cut, base: RunOptions): RunOptions {
  const { off, spare, faultyMs, clients } = cut;
  const without = switchOff(off);
  const adjust = (drawn: SwarmOptions): SwarmOptions => {
    const options = without(base.adjust?.(drawn) ?? drawn);
    return {
      ...options,
      faultyMs: faultyMs ?? options.faultyMs,
      clients: { ...options.clients, count: clients ?? options.clients.count },
    };
  };
  return { ...base, spare, adjust };
}

/** What to type to see a cut story. */
export function replayCommand(seed: number, seconds: number, cut: Cut): string {
  const parts = [`scripts/sim --seeds 1 --from ${seed} --seconds ${seconds} --trace`];
  if (cut.off.length > 0) parts.push(`--off ${cut.off.join()}`);
  if (cut.spare.length > 0) parts.push(`--spare ${cut.spare.join()}`);
  if (cut.faultyMs !== undefined) parts.push(`--faulty-ms ${cut.faultyMs}`);
  if (cut.clients !== undefined) parts.push(`--clients ${cut.clients}`);
  return parts.join(' ');
}

/** Undefined if `seed` does not fail at all. `runsMax`: most runs to spend. Default 400. */
export async function shrink(
  seed: number,
  base: RunOptions,
  { runsMax = 400 }: { readonly runsMax?: number } = {},
): Promise<Shrunk | undefined> {
  const shrinker = new Shrinker(seed, base, runsMax);
  return shrinker.run();
}

class Shrinker {
  readonly #seed: number;
  readonly #base: RunOptions;
  readonly #runsMax: number;
  #cut = whole;
  #failure: Failure | undefined;
  #blows = 0;
  #runs = 0;

  constructor(seed: number, base: RunOptions, runsMax: number) {
    this.#seed = seed;
    this.#base = base;
    this.#runsMax = runsMax;
  }

  async run(): Promise<Shrunk | undefined> {
    if (!(await this.#fails(whole))) return undefined;
    await this.#withoutKinds();
    await this.#shorter();
    await this.#withoutBlows();
    await this.#fewerClients();
    await this.#shorter();
    const failure = this.#failure;
    if (failure === undefined) return undefined;
    const blows = this.#blows - this.#cut.spare.length;
    return { cut: this.#cut, failure, runs: this.#runs, blows };
  }

  async #withoutKinds(): Promise<void> {
    for (const name of Object.keys(switches)) {
      await this.#fails({ ...this.#cut, off: [...this.#cut.off, name] });
    }
  }

  /** Whatever comes after the failure cannot matter; less may do as well. */
  async #shorter(): Promise<void> {
    for (const share of [1, 0.5, 0.75, 0.9]) {
      const endMs = this.#failure?.atMs ?? 0;
      const nowMs = this.#cut.faultyMs ?? Number.POSITIVE_INFINITY;
      const faultyMs = Math.ceil(Math.min(endMs, nowMs) * share);
      if (faultyMs < nowMs) await this.#fails({ ...this.#cut, faultyMs });
    }
  }

  /** Delta debugging: ever smaller groups of blows. */
  async #withoutBlows(): Promise<void> {
    for (let size = Math.max(1, this.#blows >> 1); ; size >>= 1) {
      for (let from = 1; from <= this.#blows; from += size) {
        const group = Array.from({ length: size }, (_, at) => from + at);
        const more = group.filter((blow) => blow <= this.#blows && !this.#cut.spare.includes(blow));
        if (more.length > 0)
          await this.#fails({ ...this.#cut, spare: [...this.#cut.spare, ...more] });
      }
      if (size <= 1) return;
    }
  }

  async #fewerClients(): Promise<void> {
    for (const clients of [1, 2, 3]) {
      if (clients >= (this.#cut.clients ?? Number.POSITIVE_INFINITY)) return;
      if (await this.#fails({ ...this.#cut, clients })) return;
    }
  }

  /** Keeps `cut` if the story still fails with the same law. */
  async #fails(cut: Cut): Promise<boolean> {
    if (this.#runs >= this.#runsMax) return false;
    this.#runs++;
    const { failure, blows } = await runSeed(this.#seed, cutOptions(cut, this.#base));
    if (failure === undefined) return false;
    const first = this.#failure;
    if (first !== undefined && first.checker !== failure.checker) return false;
    if (first !== undefined && first.law !== failure.law && first.checker !== 'liveness')
      return false;
    this.#cut = cut;
    this.#failure = failure;
    this.#blows = blows;
    return true;
  }
}
