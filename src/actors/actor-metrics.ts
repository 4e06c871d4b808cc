/** What the actors show at /metrics, read from the tree when scraped. */

import { Gauge, type Registry } from '../lib/metrics.ts';
import type { ActorInfo } from './types.ts';

export type ActorFacts = { readonly tree: ActorInfo; readonly deadLetters: number };

/** Registers the metrics of one actor system; `facts` is asked at every scrape. */
export function registerActorMetrics(registry: Registry, facts: () => ActorFacts): void {
  const gauge = (name: string, help: string, pick: (facts: ActorFacts) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(pick(facts()));
      },
    });
  const sum = (info: ActorInfo, pick: (info: ActorInfo) => number): number =>
    info.children.reduce((total, child) => total + pick(child) + sum(child, pick), 0);
  gauge('skein_actors', 'Actors that live on this node.', ({ tree }) => sum(tree, () => 1));
  gauge('skein_actor_mailbox_depth', 'Messages that wait in all mailboxes.', ({ tree }) =>
    sum(tree, (info) => info.depth),
  );
  gauge('skein_actor_restarts', 'Restarts of the actors that live now.', ({ tree }) =>
    sum(tree, (info) => info.restarts),
  );
  gauge(
    'skein_actor_dead_letters',
    'Messages that found no taker since the start.',
    ({ deadLetters }) => deadLetters,
  );
}
