/**
 * The replicated object store's vocabulary. Keys are `/<group>/<resource>/<namespace>/<name>` (the
 * core group is `core`, cluster-scoped objects have an empty namespace: `/core/nodes//node1`). Keys under
 * `/skein/` are internal and never served. Each applied write gets one cluster-wide revision, the
 * resourceVersion of Kubernetes. A value is the JSON text that clients get, held as bytes.
 */

export type Revision = number & { readonly __brand: 'Revision' };
export type Key = string;

/** One object at one revision. Immutable; shared by every reader of the process. */
export interface StoredObject {
  readonly key: Key;
  /** Revision of the write that made this version. */
  readonly revision: Revision;
  /** Revision at which the key came to be. */
  readonly createRevision: Revision;
  /** The JSON text, resourceVersion included. Never modified. */
  readonly bytes: Buffer;
  /** Byte offset of the resourceVersion's digits; -1 when the value has none (internal keys). */
  readonly revisionOffset: number;
  /**
   * Parsed when it is asked for, shared while it is in use, and frozen in spirit: callers must not modify it. Rarely used
   * ones are parsed again (see parse-cache.ts).
   */
  readonly object: unknown;
  /** What `object` is, but parsed for this one look if it is not at hand: for who goes through many objects once. */
  glance(): unknown;
  /** CRC-32C of the bytes. */
  readonly checksum: number;
}

/** A condition checked at apply, before any operation of the transaction takes effect. */
export type Check =
  | { readonly key: Key; readonly is: 'absent' }
  | { readonly key: Key; readonly is: 'present' }
  | { readonly key: Key; readonly is: 'at'; readonly revision: Revision };

/**
 * A put's value is JSON whose `metadata.resourceVersion` is the empty string; `revisionOffset` is the byte
 * offset between its two quotes, where apply splices the revision's digits in (-1: nothing to splice).
 */
export type Operation =
  | {
      readonly op: 'put';
      readonly key: Key;
      readonly value: Uint8Array;
      readonly revisionOffset: number;
    }
  | { readonly op: 'delete'; readonly key: Key };

export type Transaction = {
  readonly checks: readonly Check[];
  readonly operations: readonly Operation[];
  /** Refused at apply unless `term` is the newest that claimed the fence `name`. */
  readonly fence?: { readonly name: string; readonly term: number };
};

export type TransactionResult =
  | { readonly kind: 'committed'; readonly revision: Revision }
  /** The first check that failed, with the revision found there (0: absent). */
  | { readonly kind: 'conflict'; readonly key: Key; readonly found: Revision | 0 }
  | { readonly kind: 'fenced'; readonly newestTerm: number };

export type StoreEvent =
  | {
      readonly type: 'put';
      readonly object: StoredObject;
      readonly previous: StoredObject | undefined;
    }
  /** `object` is the last state with the revision of its deletion spliced in. */
  | { readonly type: 'delete'; readonly object: StoredObject; readonly previous: StoredObject };

export type ListOptions = {
  /** Resume behind this key. */
  readonly after?: Key;
  /** Most objects; default all. */
  readonly limit?: number;
  /** State as of this revision; must lie in the history window. Default: newest. */
  readonly atRevision?: Revision;
};

export type ListResult =
  | {
      readonly kind: 'listed';
      readonly items: readonly StoredObject[];
      readonly revision: Revision;
      /** Objects behind the last returned one. */
      readonly remaining: number;
    }
  | { readonly kind: 'too-old'; readonly oldest: Revision };

/** A stretch of the past. */
export type EventPage = {
  readonly events: readonly StoreEvent[];
  /** The page holds everything up to this revision; the next one begins behind it. */
  readonly through: Revision;
  /** Nothing follows: a watch from `through`, begun in the same turn, misses nothing. */
  readonly complete: boolean;
};

/** The objects under a prefix as they were when it was taken, whatever happens meanwhile. */
export type StoreView = {
  readonly revision: Revision;
  /** Number of objects. */
  readonly size: number;
  /** In key order. */
  values(): Iterator<StoredObject> & Iterable<StoredObject>;
};

/** What the replica holds. */
export type StoreUsage = {
  readonly objects: number;
  /** Text and keys of all objects: what the quota is about. Equal on every member at the same revision. */
  readonly bytes: number;
  readonly historyEvents: number;
  /** Memory for what only the window of recent events keeps. */
  readonly historyBytes: number;
  readonly watches: number;
};

/** Batches of events of one watch, in order, without gaps; called synchronously at apply. */
export type WatchSink = (events: readonly StoreEvent[], revision: Revision) => void;
export interface StoreWatch {
  close(): void;
}

/** The local replica: synchronous reads of applied state. */
export interface StoreReader {
  /** Newest applied revision. */
  revision(): Revision;
  /** Oldest revision a watch may start from; a list may be unable to look back as far. */
  oldestRevision(): Revision;
  /** Revision of the newest change under `prefix`, where prefix is `/<group>/<resource>/`; 0 if never. */
  changedAt(prefix: string): Revision | 0;
  get(key: Key): StoredObject | undefined;
  /** Objects whose key starts with `prefix` (ending in `/`), in key order. */
  list(prefix: string, options?: ListOptions): ListResult;
  /** Number of objects under `prefix`. */
  count(prefix: string): number;
  /** The newest state under `prefix`, to be gone through at leisure. Cheap, however many objects there are. */
  view(prefix: string): StoreView;
  /** Events under `prefix` behind `from`, about `eventsMax` of them, for who resumes at its own pace. */
  eventsSince(
    prefix: string,
    from: Revision,
    eventsMax: number,
  ):
    | ({ readonly kind: 'events' } & EventPage)
    | { readonly kind: 'too-old'; readonly oldest: Revision };
  /** A watch that stands before this revision may soon be unable to resume; 0 while the window has room. */
  endangeredRevision(): Revision | 0;
  usage(): StoreUsage;
  /**
   * Events under `prefix` after `from`. With `from` undefined: after the newest revision. Events already in the
   * window are delivered before this returns. Taken atomically with any read in the same turn.
   */
  watch(
    prefix: string,
    from: Revision | undefined,
    sink: WatchSink,
  ):
    | { readonly kind: 'watching'; readonly watch: StoreWatch }
    | { readonly kind: 'too-old'; readonly oldest: Revision };
}

/** The whole store: local reads, replicated writes. */
export interface Store extends StoreReader {
  /**
   * Applies a transaction exactly once through consensus. Rejects with SkeinError: proposal-dropped or no-leader (no effect),
   * store-full (no effect), outcome-unknown (the deadline passed while in flight); frame-too-large (about 2 MiB). When it resolves, the local replica has
   * normally applied the write already.
   */
  transact(transaction: Transaction, options?: TransactOptions): Promise<TransactionResult>;
  /** Resolves when local state includes every write acknowledged before the call (linearizable read). */
  readBarrier(options?: {
    readonly signal?: AbortSignal;
    readonly deadlineMs?: number;
  }): Promise<void>;
  /** Resolves when the local replica has applied `revision`. */
  waitForRevision(
    revision: Revision,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<void>;
  /** Claims `name` for `term`: from its apply on, older terms are fenced off. Also a barrier for the new leader. */
  claimFence(name: string, term: number): Promise<void>;
}

export type TransactOptions = { readonly deadlineMs?: number; readonly signal?: AbortSignal };
