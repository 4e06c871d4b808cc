/**
 * What a resource kind declares about itself. The API machinery is generic; everything particular to
 * Pods or Deployments is in one declaration per kind. Custom resources will be the same thing made
 * at run time.
 */

export type OwnerReference = {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean | undefined;
  blockOwnerDeletion?: boolean | undefined;
};

/**
 * Object metadata as it stands on the wire. Times are RFC 3339 with seconds. Optional fields admit
 * `undefined`, so that a value read from one object may be written into another.
 */
export type ObjectMeta = {
  name: string;
  generateName?: string | undefined;
  namespace?: string | undefined;
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  generation?: number | undefined;
  creationTimestamp?: string | null | undefined;
  deletionTimestamp?: string | undefined;
  deletionGracePeriodSeconds?: number | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  finalizers?: string[] | undefined;
  ownerReferences?: OwnerReference[] | undefined;
  managedFields?: unknown[] | undefined;
  selfLink?: string | undefined;
};

/** Any object of the API. Generated kinds are assignable to it. */
export type KubeObject = {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ObjectMeta;
};

/** A validation failure, worded as upstream's field.Error: `spec.replicas: Invalid value: -1: must be ...`. */
export type FieldError = {
  readonly type:
    | 'Invalid'
    | 'Required'
    | 'NotSupported'
    | 'Duplicate'
    | 'Forbidden'
    | 'TooLong'
    | 'TooMany'
    | 'NotFound'
    | 'TypeInvalid'
    | 'InternalError';
  /** Go-style path: `spec.template.spec.containers[0].image`. */
  readonly field: string;
  readonly badValue?: unknown;
  /** The rest of the sentence. */
  readonly detail: string;
};

/** A column of `kubectl get`; priority 0 always shown, 1 with -o wide. */
export type Column = {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description: string;
  readonly priority: 0 | 1;
};

export type Cell = string | number | boolean | null;

/** What defaulting and preparation may depend on besides the object. */
export type StrategyContext = {
  readonly nowIso: string;
};

/** How one more group version shows the same stored object. */
export type ServedVersion<T extends KubeObject = KubeObject> = {
  readonly group: string;
  readonly version: string;
  /** Name of the generated schema in this version. */
  readonly schema: string;
  /** Deprecation text sent as a Warning header, if deprecated. */
  readonly deprecated?: string;
  /** Applies this version's own defaults; runs before toStorage. Mutates. */
  readonly defaults?: (object: T) => void;
  /** Rewrites an object of this version into the storage version (apiVersion included). Mutates or returns anew. */
  readonly toStorage: (object: KubeObject) => T;
  readonly fromStorage: (object: T) => KubeObject;
};

export type ScaleDeclaration<T extends KubeObject = KubeObject> = {
  getReplicas(object: T): number;
  setReplicas(object: T, replicas: number): void;
  getStatusReplicas(object: T): number;
  /** Label selector in its string form. */
  getSelector(object: T): string;
};

export type ResourceKind<T extends KubeObject = KubeObject> = {
  /** '' for the core group. Group of the storage version. */
  readonly group: string;
  /** Storage version. */
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  /** Plural in lower case: the path segment and the key segment. */
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Name of the generated schema of the storage version. */
  readonly schema: string;
  /** Further group versions of the same objects. */
  readonly served: readonly ServedVersion<T>[];
  /** Set on kinds that can only be read: the sentence with which everything else is refused. */
  readonly writesRefused?: string;
  /** True if PUT .../status exists and main writes leave status alone. */
  readonly hasStatus: boolean;
  readonly scale?: ScaleDeclaration<T>;
  /** Further subresources, for discovery: name, kind, verbs. */
  readonly subresources: readonly {
    readonly name: string;
    readonly group?: string;
    readonly version?: string;
    readonly kind: string;
    readonly verbs: readonly string[];
  }[];
  /** PUT creates the object when absent. */
  readonly createOnUpdate: boolean;
  /** How names are checked; worded as upstream does. */
  readonly nameRule: 'dns-subdomain' | 'dns-label' | 'dns1035-label' | 'path-segment';
  /** Objects expire this long after their last write (events). */
  readonly ttlMs?: number;
  /** Fills absent fields. Mutates. Idempotent. */
  readonly defaults?: (object: T) => void;
  /** Before create: drops what users may not set (status), sets initial status. Mutates. */
  readonly prepareCreate?: (object: T, context: StrategyContext) => void;
  /** Before update of the main resource, after status was carried over. Mutates `object`. */
  readonly prepareUpdate?: (object: T, old: T, context: StrategyContext) => void;
  /** Before update through the status subresource; `object` has the old spec and metadata already. */
  readonly prepareStatusUpdate?: (object: T, old: T, context: StrategyContext) => void;
  readonly validate: (object: T) => readonly FieldError[];
  readonly validateUpdate?: (object: T, old: T) => readonly FieldError[];
  readonly validateStatusUpdate?: (object: T, old: T) => readonly FieldError[];
  /** Warnings for the client (deprecated fields), in upstream's words. */
  readonly warnings?: (object: T) => readonly string[];
  /** True if generation counts spec changes of this kind. */
  readonly countsGeneration: boolean;
  /**
   * Grace period for a delete with the given request (undefined: none asked): 0 deletes at once. Only kinds with graceful
   * deletion (Pod) declare it.
   */
  readonly gracePeriodSeconds?: (object: T, requested: number | undefined) => number;
  /** Fields that field selectors may name, besides metadata.name and metadata.namespace. */
  readonly selectableFields?: (object: T) => Readonly<Record<string, string>>;
  readonly columns: readonly Column[];
  /** Cells in the order of `columns`. */
  readonly cells: (object: T, nowMs: number) => readonly Cell[];
};
