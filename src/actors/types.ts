/**
 * Actors: state plus a function from message to next state, a bounded mailbox, a parent that
 * supervises. References are location-transparent; failures to deliver are values.
 */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';

export type TellOutcome = 'queued' | 'coalesced' | 'rejected' | 'dead';

export type AskResult<R> =
  | { readonly kind: 'answered'; readonly value: R }
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'rejected' | 'dead' | 'unreachable' | 'aborted';
    };

export interface ActorRef<M> {
  /** `skein://<node>/<path>`. */
  readonly path: string;
  /** Never throws, never waits. Remote refs answer 'queued' when handed to the stream. */
  tell(message: M): TellOutcome;
  /** Sends the message that `make` builds around a one-shot reply reference. */
  ask<R>(
    make: (replyTo: ReplyRef<R>) => M,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<AskResult<R>>;
}

/**
 * A reference whose messages do not matter to the holder: any `ActorRef<M>` is one. For watching,
 * stopping and keeping references of several kinds.
 */
export type AnyRef = ActorRef<never>;

/** Where an answer goes; survives msgpack when sent to another node. */
export interface ReplyRef<R> {
  readonly path: string;
  tell(value: R): void;
}

/** What happens to a message that finds the mailbox full. */
export type OverflowPolicy = 'reject' | 'drop-oldest' | { readonly coalesce: string };

export type MailboxOptions<M> = {
  /** Most waiting messages. Default 1024. */
  readonly capacity?: number;
  /** Per message; a coalesce key replaces a waiting message with the same key even when not full. Default reject. */
  readonly onFull?: (message: M) => OverflowPolicy;
};

export type SupervisionOptions = {
  /** Restarts allowed within windowMs before the failure escalates to the parent (Infinity: never). Default 10. */
  readonly restartsMax?: number;
  /** Default 60 s. */
  readonly windowMs?: number;
  /** Default 100 ms, doubling to 10 s, with jitter. */
  readonly backoffInitialMs?: number;
  readonly backoffMaxMs?: number;
};

export type ActorOptions = { readonly name: string; readonly supervision?: SupervisionOptions };

export interface ActorContext<M> {
  readonly self: ActorRef<M>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Fires when the actor stops or restarts; every piece of work it starts must honour it. */
  readonly signal: AbortSignal;
  spawn<N, S>(behaviour: Behaviour<N, S>, options: ActorOptions): ActorRef<N>;
  /** Stops a child, or without one the actor itself once the current message is handled. */
  stop(child?: AnyRef): void;
  /** A child that is not stopping. */
  child(name: string): AnyRef | undefined;
  /** Delivers `message` to self after `delayMs`, replacing a timer with the same key. */
  startTimer(key: string, delayMs: number, message: M): void;
  cancelTimer(key: string): void;
  /** When `ref` stops (or its node is unreachable), `message` is delivered to self. */
  watch(ref: AnyRef, message: M): void;
  /**
   * Runs asynchronous work and delivers its outcome as a message; a throw without `failed` crashes the actor. The mailbox goes on
   * meanwhile.
   */
  pipe<T>(
    work: (signal: AbortSignal) => Promise<T>,
    done: (value: T) => M,
    failed?: (error: unknown) => M,
  ): void;
}

/** An actor's definition. `receive` may be async: the next message waits for it. */
export type Behaviour<M, S> = {
  readonly mailbox?: MailboxOptions<M>;
  init(context: ActorContext<M>): S | Promise<S>;
  receive(state: S, message: M, context: ActorContext<M>): S | Promise<S>;
  /** Called once when the actor stops or before it restarts. */
  dispose?(state: S): void | Promise<void>;
};

/** One line of `skein actors`. */
export type ActorInfo = {
  readonly path: string;
  readonly depth: number;
  readonly capacity: number;
  readonly processed: number;
  /** Messages per second over the last ten seconds. */
  readonly rate: number;
  readonly restarts: number;
  readonly lastFailure: string | undefined;
  readonly children: readonly ActorInfo[];
};

/** A message that found no taker, shown shortened. */
export type DeadLetter = {
  readonly path: string;
  readonly message: string;
  /** Wall time. */
  readonly atMs: number;
};

/** The leadership scope a cluster singleton lives in. */
export type LeadershipScope = {
  readonly term: number;
  /** Fires the moment leadership is lost. */
  readonly signal: AbortSignal;
};

export interface ActorSystem {
  readonly node: string;
  spawn<M, S>(behaviour: Behaviour<M, S>, options: ActorOptions): ActorRef<M>;
  /** A reference to any actor of any node by its path; local when the node is this one. */
  resolve<M>(path: string): ActorRef<M>;
  /** Resolves when the local actor and its children have stopped; at once if there is none. */
  stop(ref: AnyRef): Promise<void>;
  tree(): ActorInfo;
  /** Messages that found no taker, newest last, at most 100. */
  deadLetters(): readonly DeadLetter[];
  shutdown(): Promise<void>;
}
