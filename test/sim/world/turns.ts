/** Lets a world go on, one event after another, each to the end of everything that it set going. */

import type { World } from './world.ts';
import { CheckFailure } from './world.ts';

/** More steps than any run needs: something goes in circles. */
const STEPS_MAX = 5_000_000;
/** Looking at everybody after every step would cost more than the steps. */
const STEPS_BETWEEN_LOOKS = 20;

export class Turns {
  readonly #world: World;
  /** Events so far. */
  steps = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Goes on until `done`, or for `limitMs`; tells if it was done. Throws the first law that was broken. */
  async until(done: () => boolean, limitMs: number): Promise<boolean> {
    const world = this.#world;
    const { queue, touched } = world;
    const endMs = queue.nowMs + limitMs;
    for (;;) {
      for (let step = 0; step < STEPS_BETWEEN_LOOKS; step++) {
        if (!queue.runNext(endMs)) return done();
        this.steps++;
        if (touched.size > 0) {
          await drained();
          for (const process of touched) process.endTurn();
          touched.clear();
        }
        if (world.failure !== undefined) throw world.failure;
      }
      if (done()) return true;
      if (this.steps > STEPS_MAX) {
        const facts = { steps: this.steps };
        throw new CheckFailure('liveness', 'a run ends after a bounded number of steps', facts);
      }
    }
  }
}

/** Every promise that could go on has gone on. */
function drained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Tells one story; what it throws, or leaves to nobody, has failed in the product, or here. */
export async function performIn(world: World, story: () => Promise<void>): Promise<void> {
  const onRejection = (error: unknown) => world.fail(error);
  process.on('unhandledRejection', onRejection);
  try {
    await story();
  } catch (error) {
    world.fail(error);
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}
