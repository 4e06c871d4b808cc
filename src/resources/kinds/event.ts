/** Events: what happened to an object, kept for an hour. Served in both groups that clients of today use. */
import { column, NAME_COLUMN, wideColumn } from '../columns/common.ts';
import type { Event, EventsEvent } from '../generated/kinds.ts';
import { ageOf } from '../human-duration.ts';
import type { KubeObject } from '../types.ts';
import { validateEvent } from '../validation/cluster.ts';
import { assignOptional, declareKind } from './support.ts';

const TTL_MS = 60 * 60 * 1000;

/** Fields that have another name in events.k8s.io: there, and in core. */
const RENAMED = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
  ['reportingController', 'reportingComponent'],
] as const;

/** The declaration of Event. */
export const eventKind = declareKind<Event>({
  group: '',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  shortNames: ['ev'],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.Event',
  served: [
    {
      group: 'events.k8s.io',
      version: 'v1',
      schema: 'io.k8s.api.events.v1.Event',
      toStorage: eventToCore,
      fromStorage: eventFromCore,
    },
  ],
  hasStatus: false,
  subresources: [],
  createOnUpdate: true,
  nameRule: 'path-segment',
  ttlMs: TTL_MS,
  countsGeneration: false,
  validate: validateEvent,
  selectableFields: (event) => ({
    'involvedObject.kind': event.involvedObject?.kind ?? '',
    'involvedObject.namespace': event.involvedObject?.namespace ?? '',
    'involvedObject.name': event.involvedObject?.name ?? '',
    'involvedObject.uid': event.involvedObject?.uid ?? '',
    'involvedObject.apiVersion': event.involvedObject?.apiVersion ?? '',
    'involvedObject.resourceVersion': event.involvedObject?.resourceVersion ?? '',
    'involvedObject.fieldPath': event.involvedObject?.fieldPath ?? '',
    // The same fields under the names of events.k8s.io.
    'regarding.kind': event.involvedObject?.kind ?? '',
    'regarding.namespace': event.involvedObject?.namespace ?? '',
    'regarding.name': event.involvedObject?.name ?? '',
    'regarding.uid': event.involvedObject?.uid ?? '',
    reason: event.reason ?? '',
    reportingComponent: event.reportingComponent ?? '',
    reportingController: event.reportingComponent ?? '',
    source: event.source?.component || event.reportingComponent || '',
    type: event.type ?? '',
  }),
  columns: [
    column('Last Seen', 'Time since it last happened.'),
    column('Type', 'Normal or Warning.'),
    column('Reason', 'Why, in one word.'),
    column('Object', 'The object it happened to.'),
    wideColumn('Subobject', 'The part of the object.'),
    wideColumn('Source', 'Who reported it.'),
    column('Message', 'What happened.'),
    wideColumn('First Seen', 'Time since it first happened.'),
    wideColumn('Count', 'How often it happened.'),
    { ...NAME_COLUMN, priority: 1 },
  ],
  cells: eventCells,
});

function eventCells(event: Event, nowMs: number) {
  const first = ageOf(event.firstTimestamp || event.eventTime, nowMs);
  const last =
    event.series !== undefined
      ? ageOf(event.series.lastObservedTime, nowMs)
      : event.lastTimestamp
        ? ageOf(event.lastTimestamp, nowMs)
        : first;
  const { kind = '', name = '', fieldPath = '' } = event.involvedObject ?? {};
  return [
    last,
    event.type ?? '',
    event.reason ?? '',
    kind === '' ? name : `${kind.toLowerCase()}/${name}`,
    fieldPath,
    sourceOf(event),
    (event.message ?? '').trim(),
    first,
    event.series?.count ?? (event.count || 1),
    event.metadata.name,
  ];
}

function sourceOf(event: Event): string {
  const component = event.source?.component || event.reportingComponent || '';
  const instance = event.source?.host || event.reportingInstance || '';
  return instance === '' ? component : `${component}, ${instance}`;
}

/** An event of events.k8s.io/v1 as core's. */
function eventToCore(object: KubeObject): Event {
  const { apiVersion: _version, ...rest } = object as EventsEvent;
  const fields: Record<string, unknown> = { ...rest };
  const converted: Record<string, unknown> = { apiVersion: 'v1', kind: 'Event' };
  for (const [theirs, ours] of RENAMED) {
    if (fields[theirs] !== undefined) converted[ours] = fields[theirs];
    delete fields[theirs];
  }
  const event = { ...converted, ...fields, kind: 'Event' } as Event;
  event.involvedObject ??= {};
  return event;
}

/** A stored event as events.k8s.io/v1 shows it. */
function eventFromCore(event: Event): EventsEvent {
  const fields: Record<string, unknown> = { ...event };
  for (const [theirs, ours] of RENAMED) {
    if (fields[ours] !== undefined) fields[theirs] = fields[ours];
    delete fields[ours];
  }
  const shown = { ...fields, apiVersion: 'events.k8s.io/v1', kind: 'Event' } as EventsEvent;
  assignOptional(shown, 'eventTime', event.eventTime);
  return shown;
}
