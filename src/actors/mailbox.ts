/**
 * A bounded mailbox. When it is full, the kind of message decides: refuse it, drop the oldest, or
 * replace a waiting message with the same key. Urgent messages (timers, results of piped work, deaths)
 * are outside the bound, which their own number limits, and overtake the rest: an actor that
 * rearms its timer must not lose it to a flood.
 */

import { BoundedQueue } from '../lib/bounded-queue.ts';
import type { MailboxOptions } from './types.ts';

/** Waiting messages of an actor that states no capacity. */
export const MAILBOX_CAPACITY = 1024;

export type Offer<M> =
  | { readonly kind: 'queued' }
  | { readonly kind: 'coalesced'; readonly replaced: M }
  | { readonly kind: 'rejected' }
  /** Taken in, at the price of the oldest. */
  | { readonly kind: 'dropped-oldest'; readonly dropped: M };

type Slot<M> = { message: M; readonly key: string | undefined };

const QUEUED = { kind: 'queued' } as const;
const REJECTED = { kind: 'rejected' } as const;

export class Mailbox<M> {
  readonly #onFull: MailboxOptions<M>['onFull'];
  readonly #slots: BoundedQueue<Slot<M>>;
  readonly #byKey = new Map<string, Slot<M>>();
  #urgent: M[] = [];

  constructor(options: MailboxOptions<M> = {}) {
    this.#onFull = options.onFull;
    this.#slots = new BoundedQueue(options.capacity ?? MAILBOX_CAPACITY);
  }

  get depth(): number {
    return this.#slots.length + this.#urgent.length;
  }

  get capacity(): number {
    return this.#slots.capacity;
  }

  offer(message: M): Offer<M> {
    const policy = this.#onFull?.(message) ?? 'reject';
    if (typeof policy === 'object') return this.#coalesce(message, policy.coalesce);
    if (this.#slots.push({ message, key: undefined })) return QUEUED;
    if (policy === 'reject') return REJECTED;
    const oldest = this.#shift();
    this.#slots.push({ message, key: undefined });
    return oldest === undefined ? QUEUED : { kind: 'dropped-oldest', dropped: oldest.message };
  }

  /** Takes a message in that must not be lost. */
  offerUrgent(message: M): void {
    this.#urgent.push(message);
  }

  /** Removes the next message: urgent ones first. Wrapped, since a message may be any value. */
  take(): { readonly message: M } | undefined {
    if (this.#urgent.length > 0) return { message: this.#urgent.shift() as M };
    return this.#shift();
  }

  /** Removes everything, in order. */
  drain(): M[] {
    const urgent = this.#urgent;
    this.#urgent = [];
    this.#byKey.clear();
    return [...urgent, ...this.#slots.drain().map(({ message }) => message)];
  }

  #shift(): Slot<M> | undefined {
    const slot = this.#slots.shift();
    if (slot?.key !== undefined) this.#byKey.delete(slot.key);
    return slot;
  }

  #coalesce(message: M, key: string): Offer<M> {
    const waiting = this.#byKey.get(key);
    if (waiting !== undefined) {
      const replaced = waiting.message;
      waiting.message = message;
      return { kind: 'coalesced', replaced };
    }
    const slot: Slot<M> = { message, key };
    if (!this.#slots.push(slot)) return REJECTED;
    this.#byKey.set(key, slot);
    return QUEUED;
  }
}
