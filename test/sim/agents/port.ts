/**
 * The way from a process to something of its machine that outlives it (a container runtime, a packet filter): calls take a
 * while, take effect whether or not their caller lives on, and are answered in a turn of the caller, if that still runs.
 */

import type { Random } from '../../../src/lib/random.ts';
import type { Process } from '../machine/process.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

export type PortComponents = {
  readonly world: World;
  readonly random: Random;
  readonly process: Process;
  /** Mean time before a call takes effect, and before its answer is there. */
  readonly meanMs: number;
};

type Method = (...args: unknown[]) => unknown;
type Watcher = Readonly<Record<string, Method>>;

/** `target` as `process` reaches it. Every method answers a promise, but for those named in `atOnce`. */
export function portTo<T extends object>(
  target: T,
  components: PortComponents,
  atOnce: readonly (keyof T)[] = [],
): T {
  const { world, random, process, meanMs } = components;
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name);
      if (typeof value !== 'function') return value;
      const method = value.bind(object) as Method;
      if (name === 'watch') return (...args: unknown[]) => watch(method, process, args);
      if (atOnce.includes(name as keyof T)) return method;
      return (...args: unknown[]) =>
        new Promise((resolve, reject) => {
          const later = (then: () => void) => {
            const delayMs = world.calm ? 1 : exponential(random, meanMs);
            world.after(delayMs, () => process.turn(then));
          };
          world.after(exponential(random, meanMs), () => {
            Promise.resolve(method(...args)).then(
              (answer) => later(() => resolve(answer)),
              (error: unknown) => later(() => reject(error as Error)),
            );
          });
        });
    },
  });
}

/** What is watched is told in turns of the watcher, as long as that lives. */
function watch(method: Method, process: Process, args: readonly unknown[]): unknown {
  const [label, listener, signal] = args as [string, Watcher, AbortSignal];
  const ended = new AbortController();
  process.onEnd(() => ended.abort());
  const heard = new Proxy(listener, {
    get: (object, name) => {
      const method = (object as Record<string | symbol, Method>)[name];
      return (...told: unknown[]) => process.turn(() => void method?.apply(object, told));
    },
  });
  return method(label, heard, AbortSignal.any([signal, ended.signal]));
}
