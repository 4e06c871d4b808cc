/** What the store tells of itself, for /metrics; read when somebody asks. */

import { Gauge, type Registry } from '../lib/metrics.ts';
import type { SpaceQuota } from './space-quota.ts';
import type { StoreReader } from './types.ts';

export type StoreMetricsComponents = {
  readonly store: Pick<StoreReader, 'usage' | 'revision' | 'oldestRevision'>;
  readonly quota: Pick<SpaceQuota, 'quotaBytes' | 'problem'>;
  readonly diskRoom: { readonly freeBytes: number };
};

/** Registers the store's gauges. */
export function registerStoreMetrics(
  registry: Registry,
  { store, quota, diskRoom }: StoreMetricsComponents,
): void {
  const gauges: readonly (readonly [name: string, help: string, read: () => number])[] = [
    ['objects', 'Objects held.', () => store.usage().objects],
    ['bytes', 'Text and keys of all objects.', () => store.usage().bytes],
    ['quota_bytes', 'What the objects may take together.', () => quota.quotaBytes],
    ['full', '1 while nothing new is accepted.', () => (quota.problem() === undefined ? 0 : 1)],
    ['disk_free_bytes', 'Free space on the disk of the log.', () => diskRoom.freeBytes],
    ['revision', 'Newest applied revision.', () => store.revision()],
    ['oldest_revision', 'Oldest revision a watch may start from.', () => store.oldestRevision()],
    ['history_events', 'Events in the window.', () => store.usage().historyEvents],
    ['history_bytes', 'Memory that only the window keeps.', () => store.usage().historyBytes],
    ['watches', 'Open watches, those of this process included.', () => store.usage().watches],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name: `skein_store_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
