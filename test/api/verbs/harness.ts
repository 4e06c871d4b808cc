/** A whole API in process for tests: the real verbs and kinds over a store without a cluster. */

import { ApiError } from '../../../src/api/status.ts';
import type { ApiVerbs, RequestContext, Target, WatchEvent } from '../../../src/api/types.ts';
import type { VerbsComponents, VerbsOptions } from '../../../src/api/verbs/components.ts';
import { createVerbs } from '../../../src/api/verbs/registry.ts';
import { VirtualClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { allKinds, createKindRegistry } from '../../../src/resources/registry.ts';
import type { KubeObject } from '../../../src/resources/types.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
import type { Store } from '../../../src/store/types.ts';

export const NOW_ISO = '2020-01-01T00:00:00Z';

/** Anything read from a body; tests look into it freely. */
// biome-ignore lint/suspicious/noExplicitAny: a decode boundary
export type Loose = any;

export type Harness = {
  readonly store: Store;
  readonly verbs: ApiVerbs;
  readonly clock: VirtualClock;
  context(extra?: Partial<RequestContext>): RequestContext;
  /** `pods`, `apps/deployments`, `extensions/v1beta1/deployments`; then namespace, name, subresource. */
  target(resource: string, namespace?: string, name?: string, subresource?: string): Target;
  create(resource: string, namespace: string | undefined, body: object): Promise<Loose>;
  get(resource: string, namespace: string | undefined, name: string): Promise<Loose>;
  update(resource: string, body: Loose, subresource?: string): Promise<Loose>;
};

/** An API with the namespace default and its service account. */
export async function setUp(
  options: VerbsOptions = {},
  extra: Partial<VerbsComponents> = {},
): Promise<Harness> {
  const store = extra.store ?? createLocalStore();
  const clock = new VirtualClock(Date.parse(NOW_ISO));
  const components = { kinds: allKinds, clock, random: seededRandom(1), logger: silentLogger };
  const verbs = createVerbs({ ...components, ...extra, store }, options);
  const harness = createHarness(store, verbs, clock);
  await harness.create('namespaces', undefined, { metadata: { name: 'default' } });
  await harness.create('serviceaccounts', 'default', { metadata: { name: 'default' } });
  return harness;
}

function createHarness(store: Store, verbs: ApiVerbs, clock: VirtualClock): Harness {
  const registry = createKindRegistry();
  const context: Harness['context'] = (more = {}) => ({
    user: { name: 'test', groups: ['system:masters'] },
    warnings: [],
    ...more,
  });
  const target: Harness['target'] = (resource, namespace, name, subresource) => {
    const parts = resource.split('/');
    const plural = parts.at(-1) ?? '';
    const found =
      parts.length === 3
        ? registry.byGroupVersionResource(parts[0] ?? '', parts[1] ?? '', plural)
        : { kind: registry.byStorageResource(parts.length === 2 ? (parts[0] ?? '') : '', plural) };
    if (found?.kind === undefined) throw new Error(`no such resource: ${resource}`);
    return {
      ...found,
      kind: found.kind,
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
      ...(subresource === undefined ? {} : { subresource }),
    };
  };
  return {
    store,
    verbs,
    clock,
    context,
    target,
    create: async (resource, namespace, body) =>
      parse(await verbs.create(context(), target(resource, namespace), structuredClone(body))),
    get: async (resource, namespace, name) =>
      parse(await verbs.get(context(), target(resource, namespace, name))),
    update: async (resource, body, subresource) => {
      const { namespace, name } = body.metadata;
      const where = target(resource, namespace, name, subresource);
      return parse(await verbs.update(context(), where, structuredClone(body)));
    },
  };
}

/** The object of an answer. */
export function parse(answer: { readonly bytes: Buffer }): Loose {
  return JSON.parse(answer.bytes.toString('utf8'));
}

/** The Status that `work` fails with. */
export async function failing(work: Promise<unknown>): Promise<ApiError['status']> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error.status;
    throw error;
  }
  throw new Error('expected a failure, got success');
}

/** A pod with one container. */
export function pod(name: string, more: Loose = {}): Loose {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...more.metadata },
    spec: { containers: [{ name: 'main', image: 'busybox' }], ...more.spec },
  };
}

/** A config map; the simplest of kinds. */
export function configMap(name: string, data: Record<string, string> = {}, metadata = {}): Loose {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, data };
}

/** A service with one port. */
export function service(name: string, spec: Loose = {}): Loose {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
  };
}

/** Names of a list's items. */
export function names(answer: {
  readonly items: readonly { readonly object: unknown }[];
}): string[] {
  return answer.items.map((item) => (item.object as KubeObject).metadata.name);
}

/** An event as `TYPE name`. */
export function shown(event: WatchEvent): string {
  if (event.type === 'BOOKMARK') return `BOOKMARK ${event.revision}`;
  if (event.type === 'ERROR') return `ERROR ${event.status.code}`;
  return `${event.type} ${(event.item.object as KubeObject).metadata.name}`;
}
