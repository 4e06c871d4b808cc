/**
 * The answering side of a request stream. Requests run at the same time; a cancel, a passed deadline
 * or the end of the stream fires the handler's signal. While answers pile up unsent, no further
 * request is read.
 */

import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { decodeRpcFrame, encodeRpcFrame, type RpcFrame, toOperational } from './rpc-wire.ts';
import type { MeshStream, RequestHandler } from './types.ts';

export type RpcServerOptions = {
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Requests of this stream served at once; more are answered overloaded. */
  readonly servedMax: number;
};

/** Serves one peer's request stream until it ends. Never rejects. */
export async function serveRequests(stream: MeshStream, options: RpcServerOptions): Promise<void> {
  const session = new RpcSession(stream, options);
  try {
    for await (const bytes of stream.frames) {
      session.take(decodeRpcFrame(bytes));
      if (session.backlog !== undefined) await session.backlog;
    }
    await stream.closeWrite();
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  } finally {
    session.end();
  }
}

class RpcSession {
  readonly #stream: MeshStream;
  readonly #options: RpcServerOptions;
  readonly #running = new Map<number, AbortController>();
  /** Pending while the peer does not take our answers. */
  backlog: Promise<void> | undefined;

  constructor(stream: MeshStream, options: RpcServerOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  take(frame: RpcFrame): void {
    if (frame.kind === 'cancel') {
      this.#running
        .get(frame.id)
        ?.abort(new SkeinError('aborted', 'the caller withdrew the request'));
    } else if (frame.kind === 'request') {
      void this.#run(frame);
    } else {
      throw new SkeinError('data-damaged', `an ${frame.kind} arrived at the answering side`);
    }
  }

  end(): void {
    for (const controller of this.#running.values()) {
      controller.abort(new SkeinError('aborted', 'the connection of the caller was lost'));
    }
    this.#running.clear();
  }

  async #run(request: Extract<RpcFrame, { kind: 'request' }>): Promise<void> {
    const { id, method, deadlineMs } = request;
    const handler = this.#options.handlers.get(method);
    if (handler === undefined) {
      this.#fail(id, new SkeinError('remote-failed', `the peer does not serve ${method}`));
      return;
    }
    if (this.#running.size >= this.#options.servedMax) {
      const message = `${this.#running.size} requests are being served here`;
      this.#fail(id, new SkeinError('overloaded', message, { retryable: true }));
      return;
    }
    const controller = new AbortController();
    this.#running.set(id, controller);
    const timer = this.#options.clock.after(deadlineMs, () =>
      controller.abort(new SkeinError('deadline-exceeded', `the deadline of ${method} passed`)),
    );
    try {
      const body = await handler(request.body, this.#stream.peer, controller.signal);
      if (!controller.signal.aborted) this.#answer(id, body, method);
    } catch (error) {
      if (!(error instanceof SkeinError)) {
        this.#options.log.error({ method, error }, 'a request handler failed unexpectedly');
      }
      if (!controller.signal.aborted) this.#fail(id, toOperational(error, method));
    } finally {
      timer.cancel();
      this.#running.delete(id);
    }
  }

  #answer(id: number, body: unknown, method: string): void {
    let bytes: Uint8Array;
    try {
      bytes = encodeRpcFrame({ kind: 'answer', id, body });
    } catch (error) {
      this.#fail(id, toOperational(error, method));
      return;
    }
    this.#send(id, bytes);
  }

  #fail(id: number, error: SkeinError): void {
    this.#send(id, encodeRpcFrame({ kind: 'failure', id, error }));
  }

  #send(id: number, bytes: Uint8Array): void {
    const sent = this.#stream.send(bytes).catch((error: unknown) => {
      // An answer that is too large becomes a failure; a lost stream ends the reading loop.
      if (error instanceof SkeinError && error.code === 'frame-too-large') this.#fail(id, error);
    });
    this.backlog = sent;
    void sent.then(() => {
      if (this.backlog === sent) this.backlog = undefined;
    });
  }
}
