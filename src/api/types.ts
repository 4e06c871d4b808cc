/**
 * The interface between those who speak a protocol (HTTP, the in-process client) and the verbs that
 * read and write objects. Above it there are headers, content types, tables and authorization;
 * below it there are defaults, admission, validation and transactions. Reads hand out the stored
 * bytes as they are.
 */

import type { KubeObject, ResourceKind, ServedVersion } from '../resources/types.ts';
import type { Revision, StoredObject } from '../store/types.ts';

/** Who asks, as authentication found. */
export type UserInfo = {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
};

/** How unknown fields of a body are treated. */
export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** One request's circumstances. */
export type RequestContext = {
  readonly user: UserInfo;
  /** Ends every wait of the request; the client went away or its deadline passed. */
  readonly signal?: AbortSignal;
  /** Leadership term that writes are fenced with. */
  readonly fence?: { readonly name: string; readonly term: number };
  /** Collects texts for Warning headers; the verbs append. */
  readonly warnings: string[];
  /** Everything but the write. Default false. */
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** Default Warn, as upstream's servers do. */
  readonly fieldValidation?: FieldValidation;
};

/** What a request is about, as routing found. */
export type Target = {
  readonly kind: ResourceKind;
  /** The group version spoken by the client; absent: the storage version. */
  readonly served?: ServedVersion;
  /** Absent for cluster-scoped kinds, and for lists and watches over all namespaces. */
  readonly namespace?: string;
  readonly name?: string;
  /** status, scale, binding, eviction, finalize, token. */
  readonly subresource?: string;
};

export type GetOptions = {
  /**
   * '0': any state of the local replica will do. A revision: not older than that. Absent:
   * linearizable.
   */
  readonly resourceVersion?: string;
};

export type SelectorOptions = {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
};

export type ResourceVersionMatch = 'Exact' | 'NotOlderThan';

export type ListOptions = SelectorOptions & {
  readonly limit?: number;
  /** The opaque token of the previous page. */
  readonly continueToken?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
};

export type WatchOptions = SelectorOptions & {
  /** Absent or '0': present objects first, as ADDED. A revision: changes after it. */
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  /** The watch ends in order after that. Default: drawn between 30 and 60 minutes. */
  readonly timeoutSeconds?: number;
};

export type Preconditions = { readonly uid?: string; readonly resourceVersion?: string };
export type Propagation = 'Orphan' | 'Background' | 'Foreground';

export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: Propagation;
  /** The older way to say Orphan (true) or Background (false). */
  readonly orphanDependents?: boolean;
  readonly preconditions?: Preconditions;
};

/** The media types of PATCH, by their short names; apply is answered with UnsupportedMediaType. */
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';
/** A patch document, parsed from its JSON. */
export type Patch = { readonly type: PatchType; readonly body: unknown };

/** The answer about one object. */
export type ObjectAnswer = {
  /** 200, 201 for created, 202 for a deletion that has begun. */
  readonly code: 200 | 201 | 202;
  /** The JSON to send, in the group version of the target. */
  readonly bytes: Buffer;
  /**
   * The stored object (storage version) behind it, for tables; absent for Status, Scale and the
   * like.
   */
  readonly item?: StoredObject;
};

/** A page of a list. `verbs.bytesOf(target, item)` gives each item's JSON. */
export type ListAnswer = {
  readonly items: readonly StoredObject[];
  /** State the list shows: metadata.resourceVersion. */
  readonly revision: Revision;
  readonly continueToken?: string;
  readonly remainingItemCount?: number;
};

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly item: StoredObject }
  /**
   * `bytes` is the bare object with its resourceVersion (and the initial-events-end annotation
   * where due).
   */
  | { readonly type: 'BOOKMARK'; readonly revision: Revision; readonly bytes: Buffer }
  /** The last event of a watch that cannot go on. */
  | { readonly type: 'ERROR'; readonly status: StatusObject };

/**
 * A running watch. Iterating yields batches in order and ends when the watch does (timeout, close,
 * the context's signal, or after an ERROR event). A reader that falls behind by more than the
 * buffer gets an ERROR with code 410.
 */
export interface WatchHandle extends AsyncIterable<readonly WatchEvent[]> {
  close(): void;
}

/** A Kubernetes Status. Built by src/api/status.ts. */
export type StatusObject = {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
};

export type StatusCause = {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
};

export type StatusDetails = {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
};

/**
 * Every verb on every kind. All reject with ApiError (src/api/status.ts) when the answer is a
 * failure Status. Bodies are parsed JSON in the group version of the target and belong to the
 * callee, which may modify them.
 */
export interface ApiVerbs {
  /** target.name is required. subresource: none, status or scale. */
  get(context: RequestContext, target: Target, options?: GetOptions): Promise<ObjectAnswer>;
  list(context: RequestContext, target: Target, options?: ListOptions): Promise<ListAnswer>;
  /** target.name, if set, narrows the watch to that object. */
  watch(context: RequestContext, target: Target, options?: WatchOptions): Promise<WatchHandle>;
  /**
   * subresource: none, or binding, eviction, token with target.name (a binding's may come from its
   * body).
   */
  create(context: RequestContext, target: Target, body: unknown): Promise<ObjectAnswer>;
  /** subresource: none, status, scale, finalize. */
  update(context: RequestContext, target: Target, body: unknown): Promise<ObjectAnswer>;
  patch(context: RequestContext, target: Target, patch: Patch): Promise<ObjectAnswer>;
  delete(context: RequestContext, target: Target, options?: DeleteOptions): Promise<ObjectAnswer>;
  /** The objects deleted or on their way, as a list. */
  deleteCollection(
    context: RequestContext,
    target: Target,
    options?: DeleteOptions,
    selection?: ListOptions,
  ): Promise<ListAnswer>;
  /**
   * The JSON of a stored object in the target's group version; converted at most once per object
   * and version.
   */
  bytesOf(target: Pick<Target, 'kind' | 'served'>, item: StoredObject): Buffer;
}

/** What `serviceaccounts/token` needs of authentication. */
export interface TokenIssuer {
  issue(request: TokenRequest): Promise<IssuedToken>;
}

export type TokenRequest = {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly serviceAccountUid: string;
  /** Empty: the API server's own. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  /** The object (Pod, Secret, Node) whose end ends the token. */
  readonly boundObject?: { readonly kind: string; readonly name: string; readonly uid: string };
};

export type IssuedToken = {
  readonly token: string;
  /** RFC 3339. */
  readonly expirationTimestamp: string;
  readonly audiences: readonly string[];
};

/** A body as far as the verbs rely on it before the structural check. */
export type Body = KubeObject;
