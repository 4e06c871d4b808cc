/**
 * Admission: what the server adds to, or refuses in, a write, knowing the rest of the cluster's
 * state.
 */

import type { KubeObject } from '../../resources/types.ts';
import type { Check, Operation } from '../../store/types.ts';
import type { RequestContext, Target } from '../types.ts';
import type { VerbsContext } from '../verbs/components.ts';

/** One write on its way to the store. Plugins modify `object` and add to the transaction. */
export type AdmissionRequest = {
  readonly verbs: VerbsContext;
  readonly context: RequestContext;
  readonly target: Target;
  readonly operation: 'create' | 'update' | 'delete';
  /** In the storage version. For a delete: the object that goes. */
  readonly object: KubeObject;
  /** Present state, for an update. */
  readonly old?: KubeObject;
  /** Conditions that must still hold when the write is applied; if not, admission runs again. */
  readonly checks: Check[];
  /** Further keys written in the same transaction. */
  readonly operations: Operation[];
};

export type AdmissionPlugin = {
  readonly name: string;
  /** True if the plugin has to see writes of this kind and operation. */
  handles(target: Target, operation: AdmissionRequest['operation']): boolean;
  /** Throws ApiError to refuse. */
  admit(request: AdmissionRequest): void | Promise<void>;
};
