/** The limits and clocks of one member, checked once and filled with their defaults. */

import type { LeaseOptions, RaftOptions } from './types.ts';

export type Trace = NonNullable<RaftOptions['trace']>;

/** Options with every default in place. */
export type Settings = Required<Omit<RaftOptions, 'trace' | 'lease'>> & {
  readonly trace: Trace | undefined;
  readonly lease: LeaseSettings | undefined;
};

/** A promise, and the ticks after which it is certainly over. */
export type LeaseSettings = { readonly promiseMs: number; readonly promiseTicks: number };

/** Fills in the defaults stated at RaftOptions. Throws RangeError for values that cannot work. */
export function resolveOptions(options: RaftOptions): Settings {
  const settings: Settings = {
    id: options.id,
    electionTicks: options.electionTicks ?? 10,
    heartbeatTicks: options.heartbeatTicks ?? 1,
    appendBytesMax: options.appendBytesMax ?? 256 * 1024,
    inflightMessagesMax: options.inflightMessagesMax ?? 256,
    inflightBytesMax: options.inflightBytesMax ?? 4 * 1024 * 1024,
    uncommittedBytesMax: options.uncommittedBytesMax ?? 64 * 1024 * 1024,
    committedBytesMax: options.committedBytesMax ?? 1024 * 1024,
    pendingReadsMax: options.pendingReadsMax ?? 4096,
    lease: options.lease === undefined ? undefined : resolveLease(options.lease),
    random: options.random,
    trace: options.trace,
  };
  if (settings.id === '') throw new RangeError('a member has an id');
  if (settings.heartbeatTicks < 1) throw new RangeError('heartbeatTicks is at least 1');
  if (settings.electionTicks <= settings.heartbeatTicks) {
    throw new RangeError('electionTicks is more than heartbeatTicks: leaders would be deposed');
  }
  if (settings.lease !== undefined && settings.lease.promiseTicks > settings.electionTicks) {
    throw new RangeError('a promise is no longer than the shortest election timeout');
  }
  if (settings.inflightMessagesMax < 1) throw new RangeError('inflightMessagesMax is at least 1');
  return settings;
}

/** The tick that a promise begins in may be almost over: it does not count. */
function resolveLease({ promiseMs, tickMs }: LeaseOptions): LeaseSettings {
  if (!(promiseMs > 0 && tickMs > 0)) throw new RangeError('a promise and a tick take time');
  return { promiseMs, promiseTicks: Math.ceil(promiseMs / tickMs) + 1 };
}
