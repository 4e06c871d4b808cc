/**
 * The client in the same process as the verbs: same admission, validation and conflicts as over
 * HTTPS, without the encoding in between. The store resolves a write once the local replica has
 * applied it, so a controller's informers include its own writes: it never acts twice for want of
 * having seen the first.
 */

import type { ApiVerbs, ObjectAnswer, RequestContext, Target } from '../api/types.ts';
import { cloneJson } from '../api/verbs/json.ts';
import type { Clock } from '../lib/clock.ts';
import { invariant } from '../lib/invariant.ts';
import type { Logger } from '../lib/logger.ts';
import { entropyRandom, type Random } from '../lib/random.ts';
import type { KubeObject, ResourceKind } from '../resources/types.ts';
import type { Store } from '../store/types.ts';
import { InformerSet } from './informers.ts';
import type {
  Client,
  ClientDeleteOptions,
  ClientListOptions,
  Informer,
  IssuedToken,
  KindMap,
  KindName,
  ObjectKey,
  PatchBody,
  ServiceAccountTokenRequest,
} from './types.ts';

export type LocalClientComponents = {
  readonly verbs: ApiVerbs;
  readonly kinds: readonly ResourceKind[];
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: seeded from the system's entropy. */
  readonly random?: Random;
};

export type ClientIdentity = { readonly user: string; readonly groups: readonly string[] };

/** A client whose informers live until `stop`. */
export interface LocalClient extends Client {
  /** Stops the informers of this client and of all derived from it. */
  stop(): void;
}

/** The client of a process. Derive others with `fenced` and `as`: all share the informers. */
export function createLocalClient(
  components: LocalClientComponents,
  identity: ClientIdentity,
): LocalClient {
  const kinds = new Map(components.kinds.map((kind) => [kind.kind, kind]));
  const random = components.random ?? entropyRandom();
  const informers = new InformerSet({ ...components, random }, kinds);
  return new InProcessClient({ components, kinds, informers }, identity, undefined);
}

type Shared = {
  readonly components: LocalClientComponents;
  readonly kinds: ReadonlyMap<string, ResourceKind>;
  readonly informers: InformerSet;
};

class InProcessClient implements LocalClient {
  readonly #shared: Shared;
  readonly #identity: ClientIdentity;
  readonly #fence: RequestContext['fence'];

  constructor(shared: Shared, identity: ClientIdentity, fence: RequestContext['fence']) {
    this.#shared = shared;
    this.#identity = identity;
    this.#fence = fence;
  }

  async get<K extends KindName>(kind: K, key: ObjectKey): Promise<KindMap[K]> {
    return this.#object(await this.#verbs.get(this.#context(), this.#target(kind, key)));
  }

  async list<K extends KindName>(
    kind: K,
    options: ClientListOptions = {},
  ): Promise<{ readonly items: readonly KindMap[K][]; readonly resourceVersion: string }> {
    const { namespace, ...selection } = options;
    const target = this.#target(kind, namespace === undefined ? {} : { namespace });
    const answer = await this.#verbs.list(this.#context(), target, selection);
    return {
      items: answer.items.map((item) => item.object as KindMap[K]),
      resourceVersion: String(answer.revision),
    };
  }

  async create<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]> {
    const { namespace } = (object as KubeObject).metadata;
    const target = this.#target(kind, namespace === undefined ? {} : { namespace });
    const context = this.#context();
    return this.#object(await this.#verbs.create(context, target, cloneJson(object)));
  }

  update<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]> {
    return this.#update(kind, object, undefined);
  }

  updateStatus<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]> {
    return this.#update(kind, object, 'status');
  }

  async patch<K extends KindName>(
    kind: K,
    key: ObjectKey,
    patch: PatchBody,
    options: { readonly subresource?: 'status' | 'scale' } = {},
  ): Promise<KindMap[K]> {
    const target = this.#target(kind, key, options.subresource);
    return this.#object(await this.#verbs.patch(this.#context(), target, patch));
  }

  async delete<K extends KindName>(
    kind: K,
    key: ObjectKey,
    options: ClientDeleteOptions = {},
  ): Promise<void> {
    await this.#verbs.delete(this.#context(), this.#target(kind, key), options);
  }

  async bind(pod: ObjectKey, node: string, uid?: string): Promise<void> {
    const body = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { ...pod, ...(uid === undefined ? {} : { uid }) },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    };
    const target = this.#target('Pod', pod, 'binding');
    await this.#verbs.create(this.#context(), target, body);
  }

  async finalize(namespace: KindMap['Namespace']): Promise<void> {
    await this.#update('Namespace', namespace, 'finalize');
  }

  async requestToken(
    account: ObjectKey,
    request: ServiceAccountTokenRequest,
  ): Promise<IssuedToken> {
    const { pod, audiences, expirationSeconds } = request;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: [...audiences],
        expirationSeconds,
        ...(pod ? { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...pod } } : {}),
      },
    };
    const target = this.#target('ServiceAccount', account, 'token');
    const answer = await this.#verbs.create(this.#context(), target, body);
    const { status } = this.#object<{ status: { token: string; expirationTimestamp: string } }>(
      answer,
    );
    return { token: status.token, expiresAtMs: Date.parse(status.expirationTimestamp) };
  }

  informer<K extends KindName>(kind: K): Informer<KindMap[K]> {
    return this.#shared.informers.informer(kind);
  }

  fenced(name: string, term: number): LocalClient {
    return new InProcessClient(this.#shared, this.#identity, { name, term });
  }

  as(user: string, groups: readonly string[]): LocalClient {
    return new InProcessClient(this.#shared, { user, groups }, this.#fence);
  }

  stop(): void {
    this.#shared.informers.stop();
  }

  get #verbs(): ApiVerbs {
    return this.#shared.components.verbs;
  }

  #context(): RequestContext {
    const { user, groups } = this.#identity;
    const fence = this.#fence;
    return {
      user: { name: user, groups },
      warnings: [],
      fieldValidation: 'Ignore',
      ...(fence === undefined ? {} : { fence }),
    };
  }

  #target(name: KindName, key: Partial<ObjectKey>, subresource?: string): Target {
    const kind = this.#shared.kinds.get(name);
    invariant(kind !== undefined, 'a client is asked for a declared kind', { name });
    // A namespace given for a cluster-scoped kind is dropped, as kubectl does.
    const { namespace, ...rest } = key;
    return {
      kind,
      ...rest,
      ...(kind.namespaced && namespace !== undefined ? { namespace } : {}),
      ...(subresource === undefined ? {} : { subresource }),
    };
  }

  async #update<K extends KindName>(
    kind: K,
    object: KindMap[K],
    subresource: 'status' | 'finalize' | undefined,
  ): Promise<KindMap[K]> {
    const { namespace, name } = (object as KubeObject).metadata;
    const key = namespace === undefined ? { name } : { namespace, name };
    const target = this.#target(kind, key, subresource);
    const context = this.#context();
    return this.#object(await this.#verbs.update(context, target, cloneJson(object)));
  }

  #object<T>(answer: ObjectAnswer): T {
    return (answer.item?.object ?? JSON.parse(answer.bytes.toString('utf8'))) as T;
  }
}
