/**
 * References. They hold a path and nothing of the actor, so they stay good when the actor restarts, is
 * spawned again by the same name, or lives elsewhere; sent in a message they arrive as references.
 */

import type { ActorRef, AskResult, ReplyRef, TellOutcome } from './types.ts';

/** What references do their work through. */
export interface Postman {
  deliver(path: string, message: unknown): TellOutcome;
  ask(
    path: string,
    make: (replyTo: ReplyRef<unknown>) => unknown,
    options: AskOptions,
  ): Promise<AskResult<unknown>>;
  answer(path: string, value: unknown): void;
}

export type AskOptions = { readonly deadlineMs: number; readonly signal?: AbortSignal };

export class PathRef<M> implements ActorRef<M> {
  readonly path: string;
  readonly #postman: Postman;

  constructor(path: string, postman: Postman) {
    this.path = path;
    this.#postman = postman;
  }

  tell(message: M): TellOutcome {
    return this.#postman.deliver(this.path, message);
  }

  ask<R>(make: (replyTo: ReplyRef<R>) => M, options: AskOptions): Promise<AskResult<R>> {
    // The asker states what the answer is; nobody can check it for a remote actor.
    return this.#postman.ask(this.path, make, options) as Promise<AskResult<R>>;
  }
}

export class ReplyPathRef<R> implements ReplyRef<R> {
  readonly path: string;
  readonly #postman: Postman;

  constructor(path: string, postman: Postman) {
    this.path = path;
    this.#postman = postman;
  }

  tell(value: R): void {
    this.#postman.answer(this.path, value);
  }
}
