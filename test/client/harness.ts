/** A client over a whole API in process. */

import { createVerbs } from '../../src/api/verbs/registry.ts';
import { createLocalClient, type LocalClient } from '../../src/client/local-client.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { type Logger, silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { ConfigMap, Pod } from '../../src/resources/generated/kinds.ts';
import { allKinds } from '../../src/resources/registry.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import type { Store } from '../../src/store/types.ts';

export type ClientHarness = {
  readonly client: LocalClient;
  readonly store: Store;
  readonly clock: VirtualClock;
  readonly random: ReturnType<typeof seededRandom>;
  readonly logger: Logger;
};

/** A client, with the namespace default and its service account in place. */
export async function setUp(store: Store = createLocalStore()): Promise<ClientHarness> {
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const logger = silentLogger;
  const components = { store, kinds: allKinds, clock, random, logger };
  const verbs = createVerbs(components);
  const identity = { user: 'system:admin', groups: ['system:masters'] };
  const client = createLocalClient({ ...components, verbs }, identity);
  await client.create('Namespace', { metadata: { name: 'default' } });
  await client.create('ServiceAccount', { metadata: { name: 'default', namespace: 'default' } });
  return { client, store, clock, random, logger };
}

export function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { metadata: { name, namespace: 'default' }, data };
}

export function pod(name: string): Pod {
  return {
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { containers: [{ name: 'main', image: 'busybox' }] },
  };
}

/** Lets everything run that is ready to: promises and immediates, no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
