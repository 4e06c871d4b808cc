/**
 * Cluster singletons: actors that live where and while this node leads. A leadership is entered by
 * claiming the fence (a write through consensus that makes the store refuse every older term), and
 * only then do the actors start; it is left by firing the scope's signal, at once, and stopping them.
 * Events may come in any order and at any moment; what counts is the newest, and the host never has
 * two scopes at the same time.
 *
 *   idle --gained--> claiming --claimed--> leading --lost--> stopping --> idle
 *             ^          | lost               \--gained (newer)--> stopping --> claiming
 *             |          v
 *            (abandoned: the claim is aborted, nothing starts)
 */

import { sleep } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { ActorRef, ActorSystem, Behaviour, LeadershipScope } from './types.ts';

/** As consensus tells it. */
export type LeadershipChange = { readonly kind: 'gained' | 'lost'; readonly term: number };

export type SingletonHostOptions = {
  readonly system: ActorSystem;
  /** Calls the listener with every change, and at once if this node leads. Returns an unsubscribe. */
  readonly onLeadership: (listener: (change: LeadershipChange) => void) => () => void;
  /**
   * Makes `term` the newest of the fence; resolves once older terms are refused and everything they
   * wrote is applied here. Rejects with code fenced if a newer term holds it.
   */
  readonly claimFence: (fence: string, term: number, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Names the fence all singletons of this host write under. Default cluster-agents. */
  readonly fence?: string;
};

export type SingletonOptions = {
  /** Called once at registration, leading or not: keeps caches warm, so that taking over is immediate. */
  readonly warmUp?: (signal: AbortSignal) => void | Promise<void>;
};

export interface SingletonHost {
  /** Adds a singleton; its path is `/singletons/<name>` on whichever node leads. */
  register<M, S>(
    name: string,
    make: (scope: LeadershipScope) => Behaviour<M, S>,
    options?: SingletonOptions,
  ): void;
  /** The scope that is live now. */
  scope(): LeadershipScope | undefined;
  /** Ends the scope and follows leadership no more. */
  stop(): Promise<void>;
}

/** The path of a singleton on `node`. */
export function singletonPath(node: string, name: string): string {
  return `skein://${node}/${SUPERVISOR}/${name}`;
}

type Registration = {
  readonly name: string;
  readonly make: (scope: LeadershipScope) => Behaviour<unknown, unknown>;
};

type Live = {
  readonly scope: LeadershipScope;
  readonly controller: AbortController;
  readonly supervisor: ActorRef<Registration>;
};

const SUPERVISOR = 'singletons';
const CLAIM_BACKOFF = { initialMs: 50, maxMs: 2000 };

/** Starts following leadership. */
export function createSingletonHost(options: SingletonHostOptions): SingletonHost {
  return new Host(options);
}

class Host implements SingletonHost {
  readonly #options: SingletonHostOptions;
  readonly #fence: string;
  readonly #log: Logger;
  readonly #registrations: Registration[] = [];
  readonly #warm = new AbortController();
  readonly #unsubscribe: () => void;
  /** The leadership this node holds by the latest event, with what aborts when it ends. */
  #held: { readonly term: number; readonly controller: AbortController } | undefined;
  #live: Live | undefined;
  #busy = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: SingletonHostOptions) {
    this.#options = options;
    this.#fence = options.fence ?? 'cluster-agents';
    this.#log = options.logger.child({ part: 'singletons' });
    this.#unsubscribe = options.onLeadership((change) => this.#onChange(change));
  }

  register<M, S>(
    name: string,
    make: (scope: LeadershipScope) => Behaviour<M, S>,
    options: SingletonOptions = {},
  ): void {
    if (this.#registrations.some((other) => other.name === name)) {
      throw new Error(`the singleton ${name} is registered already`);
    }
    // The host only passes the behaviour to spawn, which keeps message and state types together.
    const registration = { name, make } as Registration;
    this.#registrations.push(registration);
    this.#live?.supervisor.tell(registration);
    if (options.warmUp !== undefined) void this.#warmUp(name, options.warmUp);
  }

  scope(): LeadershipScope | undefined {
    const live = this.#live;
    return live === undefined || live.controller.signal.aborted ? undefined : live.scope;
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#warm.abort();
    this.#held?.controller.abort();
    this.#held = undefined;
    await this.#work();
  }

  #onChange(change: LeadershipChange): void {
    const held = this.#held;
    if (change.kind === 'gained') {
      if (held !== undefined && held.term >= change.term) return;
      held?.controller.abort();
      this.#held = { term: change.term, controller: new AbortController() };
    } else {
      // An old loss that arrives late says nothing about a leadership gained since.
      if (held === undefined || change.term < held.term) return;
      held.controller.abort();
      this.#held = undefined;
    }
    void this.#work();
  }

  /** Starts following unless that is under way; resolves when nothing is left to do. */
  #work(): Promise<void> {
    if (!this.#busy) {
      this.#busy = true;
      this.#idle = this.#follow();
    }
    return this.#idle;
  }

  /** Brings what runs in line with what is held, until it is. */
  async #follow(): Promise<void> {
    try {
      for (;;) {
        const held = this.#held;
        const live = this.#live;
        if (live !== undefined && live.controller !== held?.controller) {
          await this.#leave(live);
        } else if (held !== undefined && live === undefined) {
          if (await this.#claim(held.term, held.controller.signal)) this.#enter(held);
          else if (this.#held === held) return;
        } else return;
      }
    } finally {
      // In the same turn as the last look: a change from now on starts anew.
      this.#busy = false;
    }
  }

  async #leave(live: Live): Promise<void> {
    await this.#options.system.stop(live.supervisor);
    this.#live = undefined;
    this.#log.info({ term: live.scope.term }, 'the cluster agents of this node have stopped');
  }

  /** True when the fence is ours and leadership still held. */
  async #claim(term: number, signal: AbortSignal): Promise<boolean> {
    const { claimFence, clock, random } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await claimFence(this.#fence, term, signal);
        return !signal.aborted;
      } catch (error) {
        if (signal.aborted) return false;
        if (hasCode(error, 'fenced')) {
          this.#log.warn({ term }, 'a newer leadership holds the fence');
          return false;
        }
        this.#log.warn({ term, attempt, reason: messageOf(error) }, 'cannot claim the fence yet');
        await sleep(backoffMs(attempt, random, CLAIM_BACKOFF), clock, signal).catch(() => {});
      }
    }
    return false;
  }

  #enter(held: { readonly term: number; readonly controller: AbortController }): void {
    if (this.#held !== held) return;
    const { controller, term } = held;
    const scope: LeadershipScope = { term, signal: controller.signal };
    const registrations = this.#registrations;
    const supervisor = this.#options.system.spawn<Registration, null>(
      {
        init: (context) => {
          for (const registration of registrations) spawnSingleton(context, registration, scope);
          return null;
        },
        receive: (_state, registration, context) => {
          if (context.child(registration.name) === undefined) {
            spawnSingleton(context, registration, scope);
          }
          return null;
        },
      },
      { name: SUPERVISOR },
    );
    this.#live = { scope, controller, supervisor };
    this.#log.info({ term, agents: registrations.length }, 'the cluster agents run on this node');
  }

  async #warmUp(name: string, warmUp: NonNullable<SingletonOptions['warmUp']>): Promise<void> {
    try {
      await warmUp(this.#warm.signal);
    } catch (error) {
      this.#log.error({ name, error }, 'a warm-up failed');
    }
  }
}

/** Starts one singleton. It fails alone: it is restarted as often as it takes, without its siblings. */
function spawnSingleton(
  context: { readonly log: Logger; spawn: ActorSystem['spawn'] },
  { name, make }: Registration,
  scope: LeadershipScope,
): void {
  if (scope.signal.aborted) return;
  try {
    context.spawn(make(scope), {
      name,
      supervision: { restartsMax: Number.POSITIVE_INFINITY },
    });
  } catch (error) {
    context.log.error({ name, error }, 'a singleton cannot be made');
  }
}
