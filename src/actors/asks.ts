/** Questions that wait for their answer. Each ends exactly once: answered, or failed for a named reason. */

import type { Clock } from '../lib/clock.ts';
import type { AskOptions } from './refs.ts';
import type { AskResult } from './types.ts';

export type AskFailure = Extract<AskResult<unknown>, { kind: 'failed' }>['reason'];

type Pending = {
  /** The node that is to answer. */
  readonly node: string;
  readonly settle: (result: AskResult<unknown>) => void;
};

export class Asks {
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Opens a question to `node`; its number names the reply. */
  open(node: string, options: AskOptions): { id: number; result: Promise<AskResult<unknown>> } {
    const id = this.#nextId++;
    const { signal, deadlineMs } = options;
    const result = new Promise<AskResult<unknown>>((resolve) => {
      const onAbort = () => this.fail(id, 'aborted');
      const timer = this.#clock.after(deadlineMs, () => this.fail(id, 'timeout'));
      const settle = (value: AskResult<unknown>) => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        resolve(value);
      };
      this.#pending.set(id, { node, settle });
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
    return { id, result };
  }

  /** Late answers, after a timeout, fall on the floor: nobody waits for them. */
  answer(id: number, value: unknown): void {
    this.#settle(id, { kind: 'answered', value });
  }

  fail(id: number, reason: AskFailure): void {
    this.#settle(id, { kind: 'failed', reason });
  }

  /** Fails every question to a node that is out of reach. */
  failNode(node: string): void {
    for (const [id, pending] of [...this.#pending]) {
      if (pending.node === node) this.fail(id, 'unreachable');
    }
  }

  failAll(reason: AskFailure): void {
    for (const id of [...this.#pending.keys()]) this.fail(id, reason);
  }

  #settle(id: number, result: AskResult<unknown>): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.settle(result);
  }
}
