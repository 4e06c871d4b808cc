/**
 * Faults on purpose: each is a change of the core's text, or of what the driver does. A simulator that
 * does not see them proves nothing. An edit's `find` has to occur exactly once in its file.
 */

import type { CheckerName } from './checkers/failing.ts';
import type { SwarmOptions } from './swarm.ts';
import { themeOfElections, themeOfSnapshots } from './swarm.ts';
import type { DriverFault } from './world.ts';

export type Edit = { readonly file: string; readonly find: string; readonly replace: string };

export type Mutant = {
  readonly name: string;
  readonly edits?: readonly Edit[];
  readonly faults?: readonly DriverFault[];
  /** Makes of what a seed drew a world in which the fault matters. Default: leaves it. */
  readonly adjust?: (drawn: SwarmOptions) => SwarmOptions;
  /** Checkers that look at the cause; left out where the consequences have to be seen as well. */
  readonly skip?: readonly CheckerName[];
};

/** The checkers that see a cause at once, before it does any harm. */
const CAUSES: readonly CheckerName[] = [
  'durable before sent',
  'durable before applied',
  'commit quorum',
  'one vote per term',
];

const driver = (name: string, fault: DriverFault, skip: readonly CheckerName[] = []): Mutant => ({
  name,
  faults: [fault],
  skip,
});
const core = (name: string, ...edits: readonly (readonly [string, string, string])[]): Mutant => ({
  name,
  edits: edits.map(([file, find, replace]) => ({ file, find, replace })),
});
const seenLate = (mutant: Mutant): Mutant => ({
  ...mutant,
  name: `${mutant.name}, by its consequences`,
  skip: CAUSES,
});

const amidSnapshots = (mutant: Mutant): Mutant => ({ ...mutant, adjust: themeOfSnapshots });
const amidElections = (mutant: Mutant): Mutant => ({ ...mutant, adjust: themeOfElections });

const voteTwice = core('a member votes for everybody who asks', [
  'election.ts',
  'core.vote === from ||',
  'true ||',
]);
const countUnsynced = core('the leader counts what its disk does not have', [
  'replication.ts',
  'core.log.stable : ',
  'core.log.lastIndex : ',
]);
const halfIsEnough = core('half of the voters are a quorum', [
  'quorum.ts',
  'return Math.floor(count / 2) + 1;',
  'return Math.max(1, Math.floor(count / 2));',
]);
const olderTerms = core('entries of older terms are committed by counting', [
  'replication.ts',
  ' || log.tail.termAt(index) !== core.term',
  '',
]);

export const mutants: readonly Mutant[] = [
  driver('acknowledge before the disk has it', 'send-before-sync'),
  driver('acknowledge before the disk has it, by its consequences', 'send-before-sync', CAUSES),
  driver('tell the core too early that it is durable', 'persisted-before-sync', CAUSES),
  driver('do not write votes and terms down', 'forget-hard-state', CAUSES),
  driver('a retried write takes effect again', 'apply-retries'),
  driver('a snapshot lacks the sessions', 'sessions-not-in-snapshot', ['snapshot']),
  driver('a read does not wait for its position', 'read-before-applied'),
  driver('a read asks nobody', 'read-locally'),
  driver('request ids begin anew after a restart', 'request-ids-reused'),
  driver('a write is acknowledged when it is proposed', 'ack-before-commit'),
  driver('the log is cut before its snapshot is durable', 'compact-before-snapshot'),
  amidSnapshots(
    driver('a log that a snapshot overtook is taken for its end', 'old-log-not-voided'),
  ),
  amidSnapshots(driver('a snapshot that is known is refused', 'known-snapshot-refused')),
  amidSnapshots(
    driver('an older snapshot is taken over than the one on disk', 'older-snapshot-stepped'),
  ),
  voteTwice,
  seenLate(voteTwice),
  core(
    'votes of an older term count',
    ['step.ts', 'if (term < core.term) {', "if (term < core.term && type !== 'vote-response') {"],
    ['election.ts', 'if (answer.term === term) recordVote', 'recordVote'],
  ),
  core('a vote does not look at the log', [
    'election.ts',
    'const granted = free && upToDate;',
    'const granted = free || upToDate !== upToDate;',
  ]),
  core('a vote leaves before it is durable', [
    'election.ts',
    "sendAfterPersist(core, response(core, 'vote-response', from, core.term, !granted));",
    "core.messages.push(response(core, 'vote-response', from, core.term, !granted));",
  ]),
  olderTerms,
  amidElections(seenLate(olderTerms)),
  countUnsynced,
  seenLate(countUnsynced),
  halfIsEnough,
  seenLate(halfIsEnough),
  core('the leader counts twice', [
    'quorum.ts',
    'return acks[majorityOf(voters.length) - 1] ?? 0;',
    'return acks[Math.max(0, majorityOf(voters.length) - 2)] ?? 0;',
  ]),
  core('a joint configuration commits by its new half', [
    'quorum.ts',
    'const both = Math.min(incoming, outgoing);',
    'const both = incoming === Number.POSITIVE_INFINITY ? outgoing : incoming;',
  ]),
  core('membership changes may overlap', [
    'membership.ts',
    'core.pendingConfIndex > core.log.applied',
    'core.pendingConfIndex > Number.MAX_SAFE_INTEGER',
  ]),
  core('a joint configuration is never left', [
    'membership.ts',
    "if (core.role !== 'leader' || !core.confState.autoLeave) return;",
    'return;',
  ]),
  core('a snapshot does not bring its configuration', [
    'follower.ts',
    '  adoptConfig(core, snapshot.confState, snapshot.index);\n',
    '  core.confHistory.push({ index: snapshot.index, confState: core.confState });\n',
  ]),
  core('a heartbeat tells more than the follower has', [
    'replication.ts',
    'Math.min(progress.match, core.log.commit)',
    'Math.max(0, core.log.commit)',
  ]),
  core('a conflicting entry stays', [
    'log.ts',
    '!this.tail.matches(entry.index, entry.term)',
    'entry.index > this.lastIndex',
  ]),
  core('an append does not look at the entry before', [
    'log.ts',
    'if (!this.tail.matches(previous.index, previous.term)) return undefined;',
    'if (previous.index > this.lastIndex) return undefined;',
  ]),
  core('a write that was overtaken counts', [
    'log.ts',
    'for (const write of this.#writes) write.through = Math.min(write.through, last);',
    '',
  ]),
  core('a read position is not confirmed', [
    'read-index.ts',
    'if (round.context > confirmed) break;',
    'if (round.context > confirmed + 1e9) break;',
  ]),
  core('a new leader answers reads at once', [
    'read-index.ts',
    'return core.log.tail.termAt(core.log.commit) === core.term;',
    'return core.term > 0;',
  ]),
  core('a hand-over never times out', [
    'tick.ts',
    "abortTransfer(core, 'it took an election timeout');",
    '',
  ]),
  core('a lost append is not noticed', ['replication.ts', '  progress.release();\n', '']),
  core('a failed snapshot is not sent again', [
    'replication.ts',
    "if (progress?.state !== 'snapshot') return;",
    "if (progress?.state !== 'snapshot' || !ok) return;",
  ]),
  core('terms are not made durable', [
    'ready.ts',
    'if (hardState.term !== term || hardState.vote !== vote) return true;',
    'if (hardState.vote !== undefined && hardState.vote !== vote) return false;',
  ]),
];
