/**
 * The asking side of a request stream: many requests share it, each with its own deadline. A request
 * whose caller gives up is cancelled at the server too.
 */

import { abortError } from '../lib/async.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import { decodeRpcFrame, encodeRpcFrame } from './rpc-wire.ts';
import type { MeshStream, RequestOptions } from './types.ts';

type Pending = {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  readonly forget: () => void;
};

/** What a request stream must offer beyond frames: how much of ours has not left. */
export type RpcStream = MeshStream & { readonly unsentBytes: number };

/** Requests are refused rather than queued behind this many unsent bytes. */
const UNSENT_BYTES_MAX = 32 * 1024 * 1024;

export class RpcClient {
  readonly #stream: RpcStream;
  readonly #clock: Clock;
  readonly #outstandingMax: number;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(stream: RpcStream, options: { clock: Clock; outstandingMax: number }) {
    this.#stream = stream;
    this.#clock = options.clock;
    this.#outstandingMax = options.outstandingMax;
    void this.#readAnswers();
  }

  /** Requests that wait for an answer. */
  get outstanding(): number {
    return this.#pending.size;
  }

  get closed(): boolean {
    return this.#stream.closed.aborted;
  }

  /**
   * Sends a request and resolves with its answer. Rejects with the handler's error, deadline-exceeded,
   * aborted, overloaded (not sent), frame-too-large (not sent) or stream-closed (fate unknown).
   */
  request(method: string, body: unknown, options: RequestOptions): Promise<unknown> {
    const { deadlineMs, signal } = options;
    if (signal?.aborted) return Promise.reject(abortError(signal));
    if (this.#pending.size >= this.#outstandingMax || this.#stream.unsentBytes > UNSENT_BYTES_MAX) {
      const message = `${this.#pending.size} requests to ${this.#stream.peer} wait for an answer`;
      return Promise.reject(new SkeinError('overloaded', message, { retryable: true }));
    }
    const id = this.#nextId++;
    const frame = encodeRpcFrame({ kind: 'request', id, method, deadlineMs, body });
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        if (signal) this.#giveUp(id, abortError(signal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer = this.#clock.after(deadlineMs, () =>
        this.#giveUp(
          id,
          new SkeinError(
            'deadline-exceeded',
            `${method} at ${this.#stream.peer} did not answer within ${deadlineMs} ms`,
            { retryable: true },
          ),
        ),
      );
      const forget = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, { resolve, reject, timer, forget });
      this.#stream.send(frame).catch((error: Error) => this.#settle(id)?.reject(error));
    });
  }

  /** Fails everything under way and closes the stream. */
  stop(error: SkeinError): void {
    this.#stream.abort(error);
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }

  async #readAnswers(): Promise<void> {
    try {
      for await (const bytes of this.#stream.frames) {
        const frame = decodeRpcFrame(bytes);
        if (frame.kind === 'answer') this.#settle(frame.id)?.resolve(frame.body);
        else if (frame.kind === 'failure') this.#settle(frame.id)?.reject(frame.error);
      }
      this.stop(this.#lost(undefined));
    } catch (cause) {
      this.stop(this.#lost(cause));
    }
  }

  #lost(cause: unknown): SkeinError {
    const message = `the connection to ${this.#stream.peer} was lost before the answer came`;
    return new SkeinError('stream-closed', message, { cause, retryable: true });
  }

  #giveUp(id: number, error: SkeinError): void {
    const pending = this.#settle(id);
    if (pending === undefined) return;
    pending.reject(error);
    this.#stream.send(encodeRpcFrame({ kind: 'cancel', id })).catch(() => {
      // The stream is gone, and with it the request.
    });
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    pending.timer.cancel();
    pending.forget();
    return pending;
  }
}
