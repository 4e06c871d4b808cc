/** An actor system on virtual time, and small behaviours to test it with. */

import { createActorSystem } from '../../src/actors/system.ts';
import type { ActorContext, ActorSystem, Behaviour } from '../../src/actors/types.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';

export type World = { readonly system: ActorSystem; readonly clock: VirtualClock };

export function createWorld(t: { teardown(action: () => Promise<void>): void }): World {
  const clock = new VirtualClock();
  const components = { clock, random: seededRandom(1), logger: silentLogger };
  const system = createActorSystem(components, { node: 'n1' });
  t.teardown(() => system.shutdown());
  return { system, clock };
}

/** Lets everything happen that needs no time to pass. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves time in small steps, letting work happen in between. */
export async function pass(clock: VirtualClock, ms: number, stepMs = 50): Promise<void> {
  await settle();
  for (let left = ms; left > 0; left -= stepMs) {
    clock.advance(Math.min(stepMs, left));
    await settle();
  }
}

/** An actor that does what each message, a function, says. */
export type Script = (context: ActorContext<Script>) => void | Promise<void>;

export function scripted(
  hooks: Partial<Behaviour<Script, undefined>> = {},
): Behaviour<Script, undefined> {
  return {
    init: () => undefined,
    async receive(_state, script, context) {
      const done = script(context);
      if (done instanceof Promise) await done;
      return undefined;
    },
    ...hooks,
  };
}

/** An actor that keeps what it gets, for tests to look at. */
export function collector<M>(got: M[], mailbox?: Behaviour<M, M[]>['mailbox']): Behaviour<M, M[]> {
  return {
    ...(mailbox === undefined ? {} : { mailbox }),
    init: () => got,
    receive(state, message) {
      state.push(message);
      return state;
    },
  };
}
