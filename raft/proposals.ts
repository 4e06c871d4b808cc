/**
 * What the leader adds to its log: clients' data within a quota, the empty entry of a new term. The
 * entries leave with the next batch, so that proposals made in one go travel as one message.
 */

import type { Core } from './core.ts';
import type { Entry, LogIndex, ProposeOutcome } from './types.ts';

/** Appends one data entry per item; all of them or none. */
export function propose(core: Core, data: readonly Uint8Array[]): ProposeOutcome {
  const refusal = whyNot(core);
  if (refusal !== undefined) return refusal;
  if (data.length === 0) return { kind: 'dropped', reason: 'there is nothing to propose' };
  let bytes = 0;
  for (const item of data) bytes += item.length;
  // One batch above the quota may pass when nothing else is uncommitted: it could pass never.
  const { uncommittedBytesMax } = core.settings;
  if (
    core.uncommittedBytes > 0 &&
    bytes > 0 &&
    core.uncommittedBytes + bytes > uncommittedBytesMax
  ) {
    return { kind: 'dropped', reason: 'too many bytes are proposed and not yet committed' };
  }
  return accepted(core, appendOwn(core, 'data', data));
}

/** Undefined if this member may add to the log now. */
export function whyNot(core: Core): ProposeOutcome | undefined {
  if (core.role !== 'leader') return { kind: 'not-leader', leader: core.leader };
  if (core.transferTarget !== undefined) {
    return { kind: 'dropped', reason: 'leadership is being handed over' };
  }
  if (core.leavingIndex !== undefined) {
    return { kind: 'dropped', reason: 'this leader has been removed' };
  }
  return undefined;
}

/** The outcome of an append that ended at `index`. */
export function accepted(core: Core, index: LogIndex): ProposeOutcome {
  return { kind: 'accepted', index, term: core.term };
}

/** Adds one entry of our own term per item; returns the last one's index. */
export function appendOwn(core: Core, kind: Entry['kind'], data: readonly Uint8Array[]): LogIndex {
  const { log, term } = core;
  let index = log.lastIndex;
  const entries: Entry[] = [];
  for (const item of data) {
    index = (index + 1) as LogIndex;
    entries.push({ index, term, kind, data: item });
    core.uncommittedBytes += item.length;
  }
  log.append(entries);
  core.replicationDue = true;
  return index;
}
