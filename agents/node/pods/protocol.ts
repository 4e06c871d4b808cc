/** The messages of a pod actor. */

import type { ReplyRef } from '../../../src/actors/types.ts';
import type { Pod, PodStatus } from './kinds.ts';
import type { ContainerEvent, ContainerSummary } from './ports.ts';
import type { CheckResult, ProbeKind } from './probes/thresholds.ts';
import type { ContainerExit } from './record.ts';
import type { MadeSandbox } from './sandbox.ts';
import type { StartOutcome } from './start-container.ts';
import type { SetUpResult } from './volumes/volumes.ts';

export type PodMessage =
  /** The API shows this version of the object. */
  | { readonly kind: 'pod-changed'; readonly pod: Pod }
  /** The object is gone from the API, confirmed. */
  | { readonly kind: 'pod-vanished' }
  /** A ConfigMap or Secret it refers to changed. */
  | { readonly kind: 'objects-changed' }
  /** The runtime told of a container of the pod. */
  | { readonly kind: 'container-event'; readonly event: ContainerEvent }
  /** All containers of the pod that the runtime has, from a periodic list. */
  | { readonly kind: 'observed'; readonly containers: readonly ContainerSummary[] }
  /** For streams: which container is meant. */
  | { readonly kind: 'describe'; readonly replyTo: ReplyRef<PodDescription> }
  | { readonly kind: 'wake' }
  | { readonly kind: 'refresh-volumes' }
  | { readonly kind: 'write-status' }
  | {
      readonly kind: 'probe-due';
      readonly name: string;
      readonly id: string;
      readonly probe: ProbeKind;
    }
  // Outcomes of work that the actor itself started.
  | { readonly kind: 'volumes-set-up'; readonly result: SetUpResult }
  | { readonly kind: 'volumes-released' }
  | { readonly kind: 'sandbox-made'; readonly made: MadeSandbox; readonly attempt: number }
  | { readonly kind: 'sandbox-failed'; readonly message: string; readonly attempt: number }
  | { readonly kind: 'sandbox-unmade'; readonly failure: string | undefined }
  | {
      readonly kind: 'start-ended';
      readonly name: string;
      readonly restartCount: number;
      readonly outcome: StartOutcome | undefined;
    }
  | {
      readonly kind: 'stop-ended';
      readonly name: string;
      readonly id: string;
      readonly failure: string | undefined;
    }
  | { readonly kind: 'exited'; readonly name: string; readonly exit: ContainerExit }
  /** An inspection showed that the container still runs, or failed. */
  | { readonly kind: 'not-exited' }
  | {
      readonly kind: 'probed';
      readonly name: string;
      readonly id: string;
      readonly probe: ProbeKind;
      readonly result: CheckResult;
    }
  | { readonly kind: 'status-written'; readonly status: PodStatus; readonly outcome: WriteOutcome }
  | { readonly kind: 'object-deleted'; readonly outcome: WriteOutcome }
  | { readonly kind: 'forgotten' };

/** `gone`: the name is free, or belongs to another pod. */
export type WriteOutcome = 'done' | 'gone' | 'failed';

/** What streams need to know of a pod. */
export type PodDescription = {
  readonly pod: Pod;
  readonly podIPs: readonly string[];
  readonly containers: Readonly<Record<string, ContainerDescription>>;
};

export type ContainerDescription = {
  /** The current run, or the latest that ended. */
  readonly id: string | undefined;
  /** The run before that. */
  readonly previousId: string | undefined;
  readonly running: boolean;
  /** Why there is no run, when there is none. */
  readonly waiting: string | undefined;
};
