/** What an incarnation of an actor sees of the world. Calls from an incarnation that is over have no effect. */

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { Cell, Incarnation } from './cell.ts';
import type { ActorContext, ActorOptions, ActorRef, AnyRef, Behaviour } from './types.ts';

export class CellContext<M, S> implements ActorContext<M> {
  readonly self: ActorRef<M>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly #cell: Cell<M, S>;
  readonly #incarnation: Incarnation<S>;

  constructor(cell: Cell<M, S>, incarnation: Incarnation<S>, log: Logger) {
    this.#cell = cell;
    this.#incarnation = incarnation;
    this.self = cell.host.reference(cell);
    this.log = log;
    this.clock = cell.host.clock;
    this.random = cell.host.random;
    this.signal = incarnation.controller.signal;
  }

  spawn<N, T>(behaviour: Behaviour<N, T>, options: ActorOptions): ActorRef<N> {
    this.signal.throwIfAborted();
    return this.#cell.spawn(behaviour, options);
  }

  stop(child?: AnyRef): void {
    if (child === undefined || child.path === this.#cell.path) {
      if (!this.signal.aborted) void this.#cell.stop();
      return;
    }
    for (const cell of this.#cell.children.values()) {
      if (cell.path === child.path) void cell.stop();
    }
  }

  child(name: string): AnyRef | undefined {
    const cell = this.#cell.children.get(name);
    return cell?.accepting ? this.#cell.host.reference(cell) : undefined;
  }

  startTimer(key: string, delayMs: number, message: M): void {
    if (this.signal.aborted) return;
    const { timers } = this.#incarnation;
    timers.get(key)?.cancel();
    const timer = this.clock.after(delayMs, () => {
      if (timers.get(key) === timer) timers.delete(key);
      this.#cell.tellUrgent(message, this.#incarnation);
    });
    timers.set(key, timer);
  }

  cancelTimer(key: string): void {
    const { timers } = this.#incarnation;
    timers.get(key)?.cancel();
    timers.delete(key);
  }

  watch(ref: AnyRef, message: M): void {
    if (this.signal.aborted) return;
    const { watches } = this.#incarnation;
    const unwatch = this.#cell.host.watch(ref.path, () => {
      watches.delete(unwatch);
      this.#cell.tellUrgent(message, this.#incarnation);
    });
    watches.add(unwatch);
  }

  pipe<T>(
    work: (signal: AbortSignal) => Promise<T>,
    done: (value: T) => M,
    failed?: (error: unknown) => M,
  ): void {
    void this.#runPiped(work, done, failed);
  }

  async #runPiped<T>(
    work: (signal: AbortSignal) => Promise<T>,
    done: (value: T) => M,
    failed?: (error: unknown) => M,
  ): Promise<void> {
    try {
      const message = done(await work(this.signal));
      this.#cell.tellUrgent(message, this.#incarnation);
    } catch (error) {
      if (this.signal.aborted) return;
      try {
        if (failed === undefined) throw error;
        this.#cell.tellUrgent(failed(error), this.#incarnation);
      } catch (fatal) {
        this.#cell.fail(fatal, this.#incarnation);
      }
    }
  }
}
