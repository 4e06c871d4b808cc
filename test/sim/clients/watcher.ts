/**
 * Watchers: one follows a group of keys at some member from a state it listed, and goes on at another one when that dies. What
 * it is shown is held against the history; that a write was shown is evidence that it took effect, and behind which.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Revision, StoreEvent } from '../../../src/store/types.ts';
import type { Checkers } from '../checkers/checkers.ts';
import type { Followed } from '../checkers/watches.ts';
import type { OperationLog } from '../linearizability/operations.ts';
import type { Host } from '../machine/host.ts';
import type { Process } from '../machine/process.ts';
import type { World } from '../world/world.ts';
import { storedValue } from './client.ts';

export type WatcherComponents = {
  readonly world: World;
  readonly random: Random;
  readonly checkers: Checkers;
  readonly log: OperationLog;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly prefix: string;
};

/** How long a watcher stays with one member, and how long it looks for another. */
const STAY_MS = 1_500;
const LOOK_MS = 50;

export class Watcher {
  readonly #components: WatcherComponents;
  readonly #stream: Followed;
  #fresh = true;
  #visit = 0;

  constructor(name: string, components: WatcherComponents) {
    this.#components = components;
    this.#stream = { name, prefix: components.prefix, revision: 0, objects: new Map() };
  }

  /** Goes to some member, and stays there for a while. What earlier visits left behind is void. */
  start(): void {
    const { world, random, hosts } = this.#components;
    const visit = ++this.#visit;
    const again = () => {
      if (visit === this.#visit) this.start();
    };
    const up = [...hosts.values()].filter((host) => host.up && host.services !== undefined);
    const process = up.length === 0 ? undefined : random.pick(up).process;
    if (process === undefined) {
      world.after(LOOK_MS, again);
      return;
    }
    // The turn may never come.
    process.onEnd(() => world.after(LOOK_MS, again));
    process.turn(() => {
      if (visit === this.#visit) this.#follow(process, visit, again);
    });
  }

  /** What it has seen adds up. */
  settle(): void {
    this.#components.checkers.watches.settled(this.#stream);
  }

  #follow(process: Process, visit: number, again: () => void): void {
    const { world, random } = this.#components;
    const stream = this.#stream;
    const { state } = process;
    // As the API does, it waits for a replica that has all that was seen before.
    if (state.revision() < stream.revision) {
      world.count('watch ahead of the replica');
      world.after(LOOK_MS, again);
      return;
    }
    if (this.#fresh) this.#list(process);
    this.#fresh = false;
    const watch = () =>
      state.watch(stream.prefix, stream.revision as Revision, (events, revision) => {
        if (visit === this.#visit) this.#delivered(process, events, revision);
      });
    let opened = watch();
    if (opened.kind === 'too-old') {
      world.count('watch too old');
      this.#list(process);
      opened = watch();
    }
    const { checkers } = this.#components;
    if (opened.kind === 'too-old') {
      const facts = { stream: stream.name, revision: stream.revision, oldest: opened.oldest };
      checkers.fail('watches', 'one can watch from a list of the same turn', facts);
      return;
    }
    const { watch: stop } = opened;
    world.count('watch opened');
    world.after(STAY_MS * (0.5 + random.float()), () => {
      if (visit !== this.#visit || world.calm) return;
      process.turn(() => stop.close());
      again();
    });
  }

  /** Begins anew from what `process` has. */
  #list({ state }: Process): void {
    const stream = this.#stream;
    const listed = state.list(stream.prefix);
    if (listed.kind !== 'listed') throw new Error('a list of the present is never too old');
    stream.objects.clear();
    for (const object of listed.items) stream.objects.set(object.key, object);
    stream.revision = listed.revision;
  }

  #delivered(process: Process, events: readonly StoreEvent[], revision: number): void {
    const { checkers, world } = this.#components;
    // What a lagging replica repeats was seen before.
    const fresh = events.filter(({ object }) => object.revision > this.#stream.revision);
    if (fresh.length === 0) return;
    world.count('watch batch');
    const jumped = process.jumps.some(
      ({ from, to }) => from < revision && to > this.#stream.revision,
    );
    if (world.tracing) {
      const shown = fresh.map(({ type, object }) => `${type} ${object.key}@${object.revision}`);
      const { name } = this.#stream;
      world.trace(name, 'shown', `${shown.join(' ')} jumped=${jumped} by=${process.id}`);
    }
    if (jumped) world.count('watch jumped');
    checkers.watches.delivered(this.#stream, fresh, { revision, jumped });
    if (jumped) return;
    for (const event of fresh) {
      if (event.type !== 'put') continue;
      const value = storedValue(event.object);
      if (value === null) continue;
      const name = event.object.key.slice(this.#stream.prefix.length);
      this.#components.log.witness(value, name, storedValue(event.previous));
    }
  }
}
