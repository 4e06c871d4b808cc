/**
 * Writes that come in numbers and that nobody waits for: to whoever claims to lead, so that a leader that
 * is cut off has a tail of its own.
 */

import { put } from '../../support/store-values.ts';
import { exponential } from '../world/swarm.ts';
import type { ClientComponents } from './client.ts';

const KEYS = 4;
const DEADLINE_MS = 2_000;

export class Flood {
  readonly #components: Omit<ClientComponents, 'log'>;
  #sequence = 0;
  #ended = false;

  constructor(components: Omit<ClientComponents, 'log'>) {
    this.#components = components;
  }

  start(): void {
    const { world, random, options } = this.#components;
    if (options.floodEveryMs === Number.POSITIVE_INFINITY) return;
    world.after(exponential(random, options.floodEveryMs), () => {
      if (this.#ended) return;
      this.#pour();
      this.start();
    });
  }

  end(): void {
    this.#ended = true;
  }

  #pour(): void {
    const { world, random, hosts, options } = this.#components;
    const claiming = [...hosts.values()].filter(
      (host) => host.up && host.process?.status.role === 'leader',
    );
    if (claiming.length === 0) return;
    const { process, services } = random.pick(claiming);
    if (services === undefined) return;
    world.count('flood');
    process?.turn(() => {
      for (let left = random.int(1, options.floodMax); left > 0; left--) {
        const key = `/sim/flood//${random.int(1, KEYS)}`;
        const operations = [put(key, { value: ++this.#sequence })];
        services.store
          .transact({ checks: [], operations }, { deadlineMs: DEADLINE_MS })
          .catch(() => {});
      }
    });
  }
}
