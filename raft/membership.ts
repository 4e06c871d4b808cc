/**
 * Membership changes (dissertation chapter 4): one in flight at a time; in force when applied; several
 * steps through a joint configuration that leaves itself as soon as it is applied.
 */

import { changeConfig, membersOf } from './config-change.ts';
import { encodeConfChange } from './config-codec.ts';
import type { Core } from './core.ts';
import { newProgress } from './core.ts';
import { adoptConfig } from './follower.ts';
import { broken } from './invariant.ts';
import { beginLeaving } from './leaving.ts';
import { accepted, appendOwn, whyNot } from './proposals.ts';
import { isVoter } from './quorum.ts';
import { confirmReads } from './read-index.ts';
import { maybeCommit, nudge } from './replication.ts';
import { abortTransfer } from './transfer.ts';
import type { ConfChange, ConfState, ProposeOutcome } from './types.ts';

const leaveJointChange: ConfChange = { steps: [], context: new Uint8Array(0) };

/** Proposes a change; dropped if one is in flight, or if it makes no sense in what is in force. */
export function proposeConfChange(core: Core, change: ConfChange): ProposeOutcome {
  const refusal = whyNot(core);
  if (refusal !== undefined) return refusal;
  // Two unapplied changes could have majorities that do not overlap (4.1).
  if (core.pendingConfIndex > core.log.applied) {
    return { kind: 'dropped', reason: 'a membership change may be in flight already' };
  }
  const outcome = changeConfig(core.confState, change);
  if (outcome.kind === 'refused') return { kind: 'dropped', reason: outcome.reason };
  const index = appendOwn(core, 'config', [encodeConfChange(change)]);
  core.pendingConfIndex = index;
  return accepted(core, index);
}

/**
 * The oldest committed change that was handed out is being applied; undefined when the state machine
 * refused it. Returns the configuration in force afterwards.
 */
export function applyConfChange(core: Core, change: ConfChange | undefined): ConfState {
  const pending = core.pendingConfigs.shift();
  if (pending === undefined) broken('a membership change is applied after it was handed out');
  if (change === undefined || pending.superseded) return core.confState;
  const outcome = changeConfig(core.confState, change);
  if (outcome.kind === 'refused') {
    // Every member refuses it alike: the outcome follows from the log.
    core.settings.trace?.('config-refused', { index: pending.index, reason: outcome.reason });
    return core.confState;
  }
  adoptConfig(core, outcome.confState, pending.index);
  if (core.role === 'leader') followConfig(core);
  return core.confState;
}

/** Leaves a joint configuration that asks for it, once everything before is applied. */
export function maybeLeaveJoint(core: Core): void {
  if (core.role !== 'leader' || !core.confState.autoLeave) return;
  if (core.log.applied < core.pendingConfIndex) return;
  // Not subject to quota nor hand-over: without it the group would stay joint for ever.
  const data = encodeConfChange(leaveJointChange);
  core.pendingConfIndex = appendOwn(core, 'config', [data]);
  core.settings.trace?.('leave-joint', { index: core.pendingConfIndex });
}

/** Makes the leader's view of its peers follow the configuration. */
function followConfig(core: Core): void {
  const { confState } = core;
  const members = membersOf(confState);
  for (const node of core.peers.keys()) if (!members.has(node)) core.peers.delete(node);
  for (const node of members) {
    if (node === core.id) continue;
    const known = core.peers.get(node);
    if (known !== undefined) {
      known.learner = !isVoter(confState, node);
      continue;
    }
    const progress = newProgress(core, node);
    progress.recentlyActive = true;
    core.peers.set(node, progress);
    nudge(core, progress);
  }
  const target = core.transferTarget;
  if (target !== undefined && !confState.voters.includes(target)) {
    abortTransfer(core, 'the target is no voter any more');
  }
  // A smaller quorum may have what a larger one had not.
  maybeCommit(core);
  confirmReads(core);
  if (!isVoter(confState, core.id) && core.leavingIndex === undefined) beginLeaving(core);
}
