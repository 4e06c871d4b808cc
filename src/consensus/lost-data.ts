/**
 * A member that has forgotten what it acknowledged: its data directory is an older copy of itself. The leader that
 * counted on it knows, and says so without knowing that it does: a heartbeat's commit index never exceeds what the
 * member has acknowledged to that leader.
 */

import type { LogIndex, NodeId } from '../../raft/types.ts';
import { SkeinError } from '../lib/errors.ts';

/** The error of a member whose log ends at `lastIndex`, if the commit index of `leader`'s heartbeat shows that it has lost entries. */
export function lostData(
  leader: NodeId,
  commit: LogIndex,
  lastIndex: LogIndex,
): SkeinError | undefined {
  if (commit <= lastIndex) return undefined;
  return new SkeinError(
    'data-damaged',
    `this member has acknowledged log entries up to ${commit} to ${leader}, and its log ends at ` +
      `${lastIndex}: its data directory is an older copy, and writes that were acknowledged count on what it lacks. ` +
      'Put the newest copy back, or make the machine a new member: skein reset --yes, then skein join with a ' +
      'token (of skein token create on a member); under the same node name it takes the place of its former self',
  );
}
