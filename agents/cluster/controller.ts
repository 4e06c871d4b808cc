/**
 * The common shell of cluster agents: an actor that runs one controller inside a leadership scope. Everything a
 * controller starts hangs on one signal, which fires when leadership ends or the actor stops; all its writes carry
 * the scope's term. A controller that throws crashes its actor, and supervision starts it afresh.
 */

import type { ActorContext, Behaviour, LeadershipScope } from '../../src/actors/types.ts';
import { createEventRecorder, type EventRecorder } from '../../src/client/events.ts';
import type { Client } from '../../src/client/types.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Logger } from '../../src/lib/logger.ts';
import type { Random } from '../../src/lib/random.ts';

/** What every cluster agent is given. */
export type ClusterAgentDeps = {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

/** What a controller works with while it runs. */
export type ControllerContext = ClusterAgentDeps & {
  /** Fires when leadership ends or the actor stops. */
  readonly signal: AbortSignal;
  readonly term: number;
  readonly events: EventRecorder;
};

export type ControllerOptions = {
  /** Names the actor, its logs and its fence-carrying client. */
  readonly name: string;
  /** source.component of its events: `deployment-controller`. */
  readonly component: string;
};

/** A controller: resolves when its signal fired and all its work has ended; throws to be restarted. */
export type RunController = (context: ControllerContext) => Promise<void>;

export type ControllerMessage = { readonly kind: 'ended' };
export type Singleton<M> = (scope: LeadershipScope) => Behaviour<M, ControllerState>;
export type ControllerState = { readonly stop: () => void };

/** The fence whose newest term may write: the composition claims it before it opens a scope. */
export const CLUSTER_FENCE = 'cluster-agents';

/** Makes a singleton of a controller. */
export function controller(
  deps: ClusterAgentDeps,
  options: ControllerOptions,
  run: RunController,
): Singleton<ControllerMessage> {
  return (scope) => ({
    init(actor) {
      const { context, stop } = openContext(deps, options, scope, actor);
      actor.pipe(
        () => run(context).then(() => undefined, rethrowUnlessEnded(context.signal)),
        (): ControllerMessage => ({ kind: 'ended' }),
      );
      return { stop };
    },
    receive(state, _ended, actor) {
      actor.stop();
      return state;
    },
    dispose: (state) => state.stop(),
  });
}

/** The context of a controller that is an actor with messages of its own. */
export function openContext<M>(
  deps: ClusterAgentDeps,
  options: ControllerOptions,
  scope: LeadershipScope,
  actor: ActorContext<M>,
): { readonly context: ControllerContext; readonly stop: () => void } {
  const signal = AbortSignal.any([scope.signal, actor.signal]);
  const client = deps.client.fenced(CLUSTER_FENCE, scope.term);
  const logger = deps.logger.child({ agent: options.name, term: scope.term });
  const { clock } = deps;
  const events = createEventRecorder({ client, clock, logger, component: options.component });
  const context = { ...deps, client, logger, signal, term: scope.term, events };
  return { context, stop: () => events.stop() };
}

/** An abort at the end of the scope is the normal end, not a failure. */
function rethrowUnlessEnded(signal: AbortSignal): (error: unknown) => undefined {
  return (error) => {
    if (!signal.aborted) throw error;
    return undefined;
  };
}
