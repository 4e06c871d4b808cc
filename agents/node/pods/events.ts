/** Events about pods, as kubectl describe shows them: the subject of each, and the port they go to. */

import type { EventRecorder as ClientEvents, EventSubject } from '../../../src/client/events.ts';
import type { Pod } from './kinds.ts';

export type EventText = {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
};

/** Takes events; never waits, never throws. */
export interface EventRecorder {
  record(subject: EventSubject, event: EventText): void;
}

/** An event's subject for a pod, or for one of its containers. */
export function podSubject(pod: Pod, container?: { field: string; name: string }): EventSubject {
  const { name, namespace, uid } = pod.metadata;
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name, namespace: namespace ?? 'default', ...(uid ? { uid } : {}) },
    ...(container ? { fieldPath: `spec.${container.field}{${container.name}}` } : {}),
  };
}

/** The port on the client's recorder. */
export function recorderOn(events: Pick<ClientEvents, 'event'>): EventRecorder {
  return {
    record: (subject, { type, reason, message }) => events.event(subject, type, reason, message),
  };
}
