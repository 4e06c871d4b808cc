/** Conditions a host's disk may be in, by name: what people say, and what calls then meet. Pure. */

import { SkeinError } from '../lib/errors.ts';
import type { CallFault, DiskCall, DiskFaults } from './host-faults.ts';

export type DiskCondition =
  | { readonly name: 'healthy' | 'hung' | 'failing' | 'full' | 'read-only' }
  | { readonly name: 'slow'; readonly delayMs: number };

const DISK_DELAY_MS_MAX = 600_000;

/** For help texts. */
export const DISK_CONDITIONS = 'healthy, slow:<ms>, hung, failing, full or read-only';

/** `slow:200` and its like. Throws config-invalid that lists what there is. */
export function parseDiskCondition(text: string): DiskCondition {
  const [name, amount] = text.split(':');
  if (name === 'slow' && amount !== undefined) {
    const delayMs = Number(amount);
    if (/^\d+$/.test(amount) && delayMs > 0 && delayMs <= DISK_DELAY_MS_MAX) {
      return { name, delayMs };
    }
  }
  for (const plain of ['healthy', 'hung', 'failing', 'full', 'read-only'] as const) {
    if (text === plain) return { name: plain };
  }
  throw new SkeinError(
    'config-invalid',
    `"${text}" is no condition of a disk: use ${DISK_CONDITIONS} (at most ${DISK_DELAY_MS_MAX} ms)`,
  );
}

/** What the condition means for calls. */
export function diskFaultsOf(condition: DiskCondition): DiskFaults {
  switch (condition.name) {
    case 'healthy':
      return {};
    case 'slow':
      return { sync: { kind: 'delay', delayMs: condition.delayMs } };
    case 'hung':
      return { sync: { kind: 'hang' } };
    case 'failing':
      return { sync: { kind: 'fail', error: 'EIO' } };
    case 'full':
      // What was filled with zeros in advance can still be written.
      return { write: { kind: 'grow', error: 'ENOSPC' } };
    case 'read-only':
      // As a file system does that found itself damaged: open files refuse writes from one moment to the next.
      return {
        write: { kind: 'fail', error: 'EROFS' },
        change: { kind: 'fail', error: 'EROFS' },
      };
  }
}

/** Faults in words: `sync hangs, write fails (EROFS)`; empty when there are none. */
export function describeDisk(disk: DiskFaults): string {
  const parts = (Object.entries(disk) as [DiskCall, CallFault][]).map(([call, fault]) => {
    if (fault.kind === 'hang') return `${call} hangs`;
    if (fault.kind === 'delay') return `${call} takes ${fault.delayMs} ms longer`;
    return `${call} ${fault.kind === 'grow' ? 'of more bytes ' : ''}fails (${fault.error})`;
  });
  return parts.join(', ');
}
