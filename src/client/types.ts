/**
 * The client that controllers, agents and the composition use. Same verbs, admission and validation
 * as a user over HTTPS; on the same node calls stay in process. Objects handed out by reads and
 * informers are shared and must not be modified: copy first (`structuredClone`).
 */

import type { Clock } from '../lib/clock.ts';
import type { KindMap } from '../resources/generated/kinds.ts';
import type { KubeObject } from '../resources/types.ts';

export type { KindMap };
/** Names of built-in kinds: 'Pod', 'Deployment', ... The storage version is used. */
export type KindName = keyof KindMap & string;

export type ObjectKey = { readonly namespace?: string | undefined; readonly name: string };

export type ClientListOptions = {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
};

export type Preconditions = { readonly uid?: string; readonly resourceVersion?: string };

export type ClientDeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: Preconditions;
};

export type PatchBody =
  | { readonly type: 'merge' | 'strategic'; readonly body: object }
  | { readonly type: 'json'; readonly body: readonly object[] };

export type ServiceAccountTokenRequest = {
  /** The API server's own when empty. */
  readonly audiences: readonly string[];
  /** At least 600. */
  readonly expirationSeconds: number;
  readonly pod?: { readonly name: string; readonly uid: string };
};

export type IssuedToken = { readonly token: string; readonly expiresAtMs: number };

/** Every method rejects with ApiError when the answer is a Status other than Success. */
export interface Client {
  get<K extends KindName>(kind: K, key: ObjectKey): Promise<KindMap[K]>;
  list<K extends KindName>(
    kind: K,
    options?: ClientListOptions,
  ): Promise<{ readonly items: readonly KindMap[K][]; readonly resourceVersion: string }>;
  create<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]>;
  /** Optimistic concurrency when metadata.resourceVersion is set. */
  update<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]>;
  updateStatus<K extends KindName>(kind: K, object: KindMap[K]): Promise<KindMap[K]>;
  patch<K extends KindName>(
    kind: K,
    key: ObjectKey,
    patch: PatchBody,
    options?: { readonly subresource?: 'status' | 'scale' },
  ): Promise<KindMap[K]>;
  delete<K extends KindName>(kind: K, key: ObjectKey, options?: ClientDeleteOptions): Promise<void>;
  /** POST to pods/binding: sets spec.nodeName once. */
  bind(pod: ObjectKey, node: string, uid?: string): Promise<void>;
  /**
   * PUT to namespaces/finalize: takes over the object's spec.finalizers; with the last one the
   * namespace goes.
   */
  finalize(namespace: KindMap['Namespace']): Promise<void>;
  /** POST to serviceaccounts/token: a token for the account, bound to a pod's life if one is named. */
  requestToken(account: ObjectKey, request: ServiceAccountTokenRequest): Promise<IssuedToken>;
  /** The process's shared cache of a kind; starts on first use. */
  informer<K extends KindName>(kind: K): Informer<KindMap[K]>;
  /** The same client with every write fenced by a leadership term. */
  fenced(name: string, term: number): Client;
  /** The same client acting as another user (for node agents: system:node:<name>). */
  as(user: string, groups: readonly string[]): Client;
}

export type InformerEvent<T> =
  | { readonly type: 'added'; readonly object: T }
  | { readonly type: 'modified'; readonly object: T; readonly previous: T }
  | { readonly type: 'deleted'; readonly object: T };

/** A local, always current view of one kind: snapshot and stream taken atomically. */
export interface Informer<T> {
  /** True once the first list is in. */
  readonly synced: boolean;
  whenSynced(signal?: AbortSignal): Promise<void>;
  get(key: ObjectKey): T | undefined;
  list(namespace?: string): readonly T[];
  /** Objects for which `extract` of a registered index gave `value`. */
  byIndex(index: string, value: string): readonly T[];
  /** Registers an index once; the same name twice is an error unless the function is the same. */
  addIndex(index: string, extract: (object: T) => readonly string[]): void;
  /**
   * Called for every change after, and with 'added' for every object present at, the subscription.
   * Returns an unsubscribe function.
   */
  subscribe(listener: (event: InformerEvent<T>) => void): () => void;
}

/** The error of a failed API call, the Status as the server sent it. */
export interface ApiStatus {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: object;
  readonly status: 'Success' | 'Failure';
  readonly message: string;
  /** NotFound, AlreadyExists, Conflict, Invalid, Forbidden, ServiceUnavailable, Timeout, ... */
  readonly reason: string;
  readonly code: number;
  readonly details?: object;
}

/** What a reconciler answers for a key. */
export type ReconcileResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'again'; readonly afterMs: number }
  /** Try again with backoff. */
  | { readonly kind: 'retry'; readonly reason: string }
  /** Wrong until the object changes; logged, not retried. */
  | { readonly kind: 'terminal'; readonly reason: string };

export type ReconcilerDeps = { readonly client: Client; readonly clock: Clock };
export type AnyObject = KubeObject;
