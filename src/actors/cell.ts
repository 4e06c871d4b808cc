/**
 * One actor at work: its mailbox, its children, its life. Everything that can go wrong in it ends here.
 *
 *   starting --init--> running --failure--> waiting --backoff--> starting
 *       \________________ |  \_____________/   |
 *                        stop                stop, or budget spent
 *                          \--> stopping --> stopped
 *
 * One start of the actor is an incarnation: it owns the abort signal, the timers and the watches, and
 * takes them with it. An incarnation is torn down once (children, then the running receive, then
 * dispose), whether a failure or a stop asked for it, or both.
 */

import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import { CellContext } from './cell-context.ts';
import { Mailbox } from './mailbox.ts';
import { RateMeter } from './rate-meter.ts';
import { RestartBudget } from './supervision.ts';
import type { ActorInfo, ActorOptions, ActorRef, Behaviour, TellOutcome } from './types.ts';

/** What a cell needs of the system it lives in. */
export interface CellHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  reference<M>(cell: Cell<M, unknown>): ActorRef<M>;
  /** Calls `onDeath` once when the actor at `path` stops or its node is out of reach. */
  watch(path: string, onDeath: () => void): () => void;
  deadLetter(path: string, message: unknown): void;
  register(cell: AnyCell): void;
  unregister(cell: AnyCell): void;
}

/** A cell whose message and state types do not matter to the holder. */
// biome-ignore lint/suspicious/noExplicitAny: cells of all types share the registry and the tree.
export type AnyCell = Cell<any, any>;

/** One start of an actor. */
export type Incarnation<S> = {
  readonly controller: AbortController;
  readonly timers: Map<string, Timer>;
  readonly watches: Set<() => void>;
  state: { readonly value: S } | undefined;
  /** The asynchronous init or receive under way. */
  pending: Promise<unknown> | undefined;
  torn: Promise<void> | undefined;
};

type Phase = 'starting' | 'running' | 'waiting' | 'stopping' | 'stopped';

/** Messages handled before other work of the process gets a turn. */
const BATCH = 64;
/** How long a stop waits for a receive or a dispose that does not end. */
const STOP_GRACE_MS = 5000;

export class Cell<M, S> {
  readonly path: string;
  readonly name: string;
  readonly children = new Map<string, AnyCell>();
  readonly host: CellHost;
  readonly #parent: AnyCell | undefined;
  readonly #behaviour: Behaviour<M, S>;
  readonly #mailbox: Mailbox<M>;
  readonly #budget: RestartBudget;
  readonly #log: Logger;
  readonly #rate = new RateMeter();
  readonly #deathWatchers = new Set<() => void>();
  #phase: Phase = 'starting';
  #incarnation: Incarnation<S>;
  #context: CellContext<M, S>;
  #restartTimer: Timer | undefined;
  #stopped: Promise<void> | undefined;
  #scheduled = false;
  #processed = 0;
  #restarts = 0;
  #lastFailure: string | undefined;

  constructor(
    host: CellHost,
    parent: AnyCell | undefined,
    place: { readonly path: string; readonly options: ActorOptions },
    behaviour: Behaviour<M, S>,
  ) {
    this.host = host;
    this.path = place.path;
    this.name = place.options.name;
    this.#parent = parent;
    this.#behaviour = behaviour;
    this.#mailbox = new Mailbox(behaviour.mailbox);
    this.#budget = new RestartBudget(place.options.supervision ?? {}, host.random);
    this.#log = host.log.child({ actor: place.path });
    this.#incarnation = newIncarnation();
    this.#context = new CellContext(this, this.#incarnation, this.#log);
    host.register(this);
    parent?.children.set(this.name, this);
    // Not within the caller's turn: spawning runs nobody's code but the spawner's.
    queueMicrotask(() => {
      if (this.#phase === 'starting') this.#begin();
    });
  }

  get alive(): boolean {
    return this.#phase !== 'stopped';
  }

  get accepting(): boolean {
    return this.#phase !== 'stopping' && this.#phase !== 'stopped';
  }

  tell(message: M): TellOutcome {
    if (!this.accepting) {
      this.host.deadLetter(this.path, message);
      return 'dead';
    }
    const offer = this.#mailbox.offer(message);
    if (offer.kind === 'rejected') {
      this.host.deadLetter(this.path, message);
      return 'rejected';
    }
    if (offer.kind === 'dropped-oldest') this.host.deadLetter(this.path, offer.dropped);
    this.#schedule();
    return offer.kind === 'coalesced' ? 'coalesced' : 'queued';
  }

  /** Delivers a message of the actor's own making (timer, pipe, watch), if `incarnation` still lives. */
  tellUrgent(message: M, incarnation: Incarnation<S>): void {
    if (incarnation !== this.#incarnation || incarnation.controller.signal.aborted) return;
    this.#mailbox.offerUrgent(message);
    this.#schedule();
  }

  /** Calls `onDeath` once when the actor has stopped. Returns how to withdraw. */
  watchDeath(onDeath: () => void): () => void {
    if (!this.alive) {
      queueMicrotask(onDeath);
      return () => {};
    }
    this.#deathWatchers.add(onDeath);
    return () => void this.#deathWatchers.delete(onDeath);
  }

  spawn<N, T>(behaviour: Behaviour<N, T>, options: ActorOptions): ActorRef<N> {
    if (!this.accepting) {
      throw new SkeinError('actor-stopped', `${this.path} is stopping and takes no children`);
    }
    checkName(options.name);
    if (this.children.has(options.name)) {
      throw new Error(`${this.path} has a child ${options.name} that has not stopped yet`);
    }
    const place = { path: `${this.path}/${options.name}`, options };
    return this.host.reference(new Cell(this.host, this, place, behaviour));
  }

  /** Stops the children, then the actor. Never rejects; resolves when it is gone. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** A failure of the incarnation outside `receive`: of piped work, or of a child beyond its budget. */
  fail(error: unknown, incarnation: Incarnation<S>): void {
    if (incarnation === this.#incarnation) void this.#crash(error);
  }

  info(): ActorInfo {
    return {
      path: this.path,
      depth: this.#mailbox.depth,
      capacity: this.#mailbox.capacity,
      processed: this.#processed,
      rate: this.#rate.rate(this.host.clock.monotonicMs()),
      restarts: this.#restarts,
      lastFailure: this.#lastFailure,
      children: [...this.children.values()].map((child) => child.info()),
    };
  }

  #begin(): void {
    this.#phase = 'starting';
    const incarnation = newIncarnation<S>();
    this.#incarnation = incarnation;
    this.#context = new CellContext(this, incarnation, this.#log);
    this.#settle(
      () => this.#behaviour.init(this.#context),
      () => {
        if (this.#phase === 'starting') this.#phase = 'running';
        this.#schedule();
      },
    );
  }

  /** Runs a step of the behaviour and keeps the state it returns. True if it ended at once and well. */
  #settle(step: () => S | Promise<S>, then?: () => void): boolean {
    const incarnation = this.#incarnation;
    let result: S | Promise<S>;
    try {
      result = step();
    } catch (error) {
      void this.#crash(error);
      return false;
    }
    if (!(result instanceof Promise)) {
      incarnation.state = { value: result };
      then?.();
      return this.#phase === 'running';
    }
    const pending = result.then(
      (value) => {
        incarnation.pending = undefined;
        incarnation.state = { value };
        if (incarnation !== this.#incarnation) return;
        then?.();
        this.#schedule();
      },
      (error) => {
        incarnation.pending = undefined;
        if (incarnation !== this.#incarnation) return;
        // What a cancelled step throws is the cancellation, no failure.
        if (!incarnation.controller.signal.aborted) void this.#crash(error);
      },
    );
    incarnation.pending = pending;
    return false;
  }

  #schedule(): void {
    if (this.#scheduled || this.#phase !== 'running') return;
    if (this.#incarnation.pending !== undefined || this.#mailbox.depth === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#work());
  }

  #work(): void {
    this.#scheduled = false;
    const { clock } = this.host;
    for (let count = 0; count < BATCH; count++) {
      const { state, pending } = this.#incarnation;
      if (this.#phase !== 'running' || pending !== undefined || state === undefined) return;
      const next = this.#mailbox.take();
      if (next === undefined) return;
      this.#processed++;
      this.#rate.count(clock.monotonicMs());
      const step = () => this.#behaviour.receive(state.value, next.message, this.#context);
      if (!this.#settle(step)) return;
    }
    this.#scheduled = true;
    clock.soon(() => this.#work());
  }

  async #crash(error: unknown): Promise<void> {
    if (this.#phase !== 'running' && this.#phase !== 'starting') return;
    this.#phase = 'waiting';
    this.#lastFailure = messageOf(error);
    this.#log.error({ error }, 'an actor failed');
    await this.#tearDown(this.#incarnation);
    if (this.#phase !== 'waiting') return;
    const verdict = this.#budget.failed(this.host.clock.monotonicMs());
    if (verdict.kind === 'escalate' && this.#parent !== undefined) {
      const parent = this.#parent;
      const spent = new Error(`${this.path} keeps failing: ${messageOf(error)}`, { cause: error });
      await this.stop();
      parent.childFailed(spent);
      return;
    }
    if (verdict.kind === 'escalate') {
      this.#log.error({}, 'an actor keeps failing and has no parent: it is restarted slowly');
    }
    this.#restarts++;
    this.#restartTimer = this.host.clock.after(verdict.delayMs, () => this.#begin());
  }

  /** A child spent its budget: that is this actor's failure. */
  childFailed(error: Error): void {
    void this.#crash(error);
  }

  async #stop(): Promise<void> {
    if (this.#phase === 'stopped') return;
    this.#phase = 'stopping';
    this.#restartTimer?.cancel();
    await this.#tearDown(this.#incarnation);
    this.#phase = 'stopped';
    for (const message of this.#mailbox.drain()) this.host.deadLetter(this.path, message);
    this.#parent?.children.delete(this.name);
    this.host.unregister(this);
    const watchers = [...this.#deathWatchers];
    this.#deathWatchers.clear();
    for (const onDeath of watchers) onDeath();
  }

  #tearDown(incarnation: Incarnation<S>): Promise<void> {
    incarnation.torn ??= this.#tearDownOnce(incarnation);
    return incarnation.torn;
  }

  async #tearDownOnce(incarnation: Incarnation<S>): Promise<void> {
    for (const timer of incarnation.timers.values()) timer.cancel();
    incarnation.timers.clear();
    for (const unwatch of incarnation.watches) unwatch();
    incarnation.watches.clear();
    incarnation.controller.abort(new SkeinError('aborted', `${this.path} is stopping`));
    await Promise.all([...this.children.values()].map((child) => child.stop()));
    // At least one turn: a synchronous receive that stopped its own actor returns its state first.
    await this.#within(incarnation.pending ?? Promise.resolve(), 'a receive');
    const { state } = incarnation;
    incarnation.state = undefined;
    if (state === undefined) return;
    try {
      const disposed = this.#behaviour.dispose?.(state.value);
      if (disposed instanceof Promise) await this.#within(disposed, 'dispose');
    } catch (error) {
      this.#log.error({ error }, 'dispose failed');
    }
  }

  /** Waits for `work`, but not for ever: an actor that hangs must not hold up a stop. */
  async #within(work: Promise<unknown>, what: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.host.clock.after(STOP_GRACE_MS, () => {
      this.#log.warn(
        { graceMs: STOP_GRACE_MS },
        `${what} did not end; the actor is stopped anyway`,
      );
      resolve();
    });
    await Promise.race([work, promise]).finally(() => timer.cancel());
  }
}

function newIncarnation<S>(): Incarnation<S> {
  return {
    controller: new AbortController(),
    timers: new Map(),
    watches: new Set(),
    state: undefined,
    pending: undefined,
    torn: undefined,
  };
}

/** Names are parts of paths. */
export function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:-]*$/.test(name)) {
    throw new Error(`an actor's name has letters, digits, dots, colons and dashes, not ${name}`);
  }
}
