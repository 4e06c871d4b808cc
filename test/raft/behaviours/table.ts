/**
 * The 36 behaviours of a complete Raft, each with the tests that guard it and, for every test, an edit of the code that
 * takes the behaviour out: then the test has to fail. An edit's `find` occurs exactly once in its file.
 */

/** A change of the product's text; `file` counts from the root of the project. */
export type Edit = { readonly file: string; readonly find: string; readonly replace: string };

export type Guard = {
  /** Below `test/`. */
  readonly file: string;
  /** The test's name; `*` stands for what a loop puts there. */
  readonly test: string;
  readonly without: Edit;
};

export type Behaviour = {
  readonly number: number;
  readonly name: string;
  readonly guards: readonly Guard[];
};

const guard = (file: string, test: string, without: Edit): Guard => ({ file, test, without });
const play = (name: string, without: Edit): Guard => ({
  ...{ file: `raft/plays/${name}.play`, test: `play: ${name.replaceAll('-', ' ')}`, without },
});
const core = (file: string, find: string, replace = ''): Edit => ({
  ...{ file: `raft/${file}`, find, replace },
});
const driver = (file: string, find: string, replace = ''): Edit => ({
  ...{ file: `src/consensus/${file}`, find, replace },
});

const election = 'raft/paper-election.test.ts';
const replication = 'raft/paper-replication.test.ts';
const durability = 'raft/durability.test.ts';
const pace = 'raft/election-pace.test.ts';
const lease = 'raft/lease.test.ts';
const limits = 'raft/limits.test.ts';
const log = 'raft/log.test.ts';
const progress = 'raft/progress.test.ts';
const snapshots = 'raft/snapshots.test.ts';
const members = 'raft/membership.test.ts';
const reads = 'raft/reads-and-transfer.test.ts';
const wal = 'consensus/write-ahead-log.test.ts';
const voters = 'consensus/membership.test.ts';

const noPromise = core(
  'lease.ts',
  'core.lease.promiseElapsed < lease.promiseTicks',
  'core.lease.promiseElapsed < 0',
);
const noLease = core(
  'election.ts',
  'return core.leader !== undefined && core.electionElapsed < core.electionTicks;',
  'return false;',
);

export const behaviours: readonly Behaviour[] = [
  {
    number: 1,
    name: 'randomised timeout, redrawn at each role change',
    guards: [
      guard(
        election,
        '5.2: election timeouts are chosen randomly from a fixed interval, at each role change',
        core('roles.ts', '  core.jitter = core.settings.random();\n'),
      ),
    ],
  },
  {
    number: 2,
    name: 'one vote per term, durable before the reply leaves',
    guards: [
      guard(
        election,
        '5.2: each server votes for at most one candidate in a term, first come first served',
        core('election.ts', 'core.vote === from ||', 'true ||'),
      ),
      guard(
        durability,
        'durability: a vote leaves after it is durable',
        core(
          'election.ts',
          "sendAfterPersist(core, response(core, 'vote-response',",
          "core.messages.push(response(core, 'vote-response',",
        ),
      ),
    ],
  },
  {
    number: 3,
    name: 'a candidate is at least as up to date',
    guards: [
      guard(
        election,
        '5.4.1: a voter refuses a candidate whose log is less up to date than its own',
        core('election.ts', 'const granted = free && upToDate;', 'const granted = free;'),
      ),
    ],
  },
  {
    number: 4,
    name: 'lower terms are refused, higher ones demote',
    guards: [
      guard(
        election,
        '5.1: a request with a stale term is rejected',
        core('step.ts', 'if (term < core.term) {', 'if (term < 0) {'),
      ),
      guard(
        election,
        '5.1: a server that sees a larger term takes it over',
        core(
          'step.ts',
          '  becomeFollower(core, term, isFromLeader(message) ? from : undefined);\n',
        ),
      ),
    ],
  },
  {
    number: 5,
    name: 'pre-vote',
    guards: [
      play(
        'prevote-rejoin',
        core('tick.ts', "maybeCampaign(core, 'pre-vote');", "maybeCampaign(core, 'transfer');"),
      ),
      guard(
        election,
        '9.6: a pre-vote changes neither term nor vote of anybody',
        core('step.ts', "if (type === 'pre-vote' || (", 'if (('),
      ),
    ],
  },
  {
    number: 6,
    name: 'pre-votes of lower terms are refused in words',
    guards: [
      guard(
        election,
        '5.1: a request with a stale term is rejected',
        core('step.ts', '    refuseOldPreVote(core, message);\n'),
      ),
    ],
  },
  {
    number: 7,
    name: 'check-quorum',
    guards: [
      guard(
        election,
        'a leader without a quorum steps down, one with a quorum stays',
        core('tick.ts', '!quorumIsActive(core)', '!quorumIsActive(core) && core.term < 0'),
      ),
      play('checkquorum', core('tick.ts', '!quorumIsActive(core)', 'core.term < 0')),
    ],
  },
  {
    number: 8,
    name: 'votes are refused while a leader is heard; not on a hand-over, nor by pre-candidates',
    guards: [
      guard(
        election,
        '4.2.3: votes are refused while a leader is heard, except on a hand-over',
        noLease,
      ),
      play('transfer', core('step.ts', '!message.transfer && inLease(core)', 'inLease(core)')),
      play(
        'lease-refusal',
        core(
          'election.ts',
          'return core.leader !== undefined && core.electionElapsed < core.electionTicks;',
          'return core.leader !== undefined;',
        ),
      ),
    ],
  },
  {
    number: 9,
    name: 'a candidate stuck in a higher term comes back',
    guards: [
      play(
        'stuck-candidate-release',
        core('step.ts', '    correctOldLeader(core, message.from);\n'),
      ),
    ],
  },
  {
    number: 10,
    name: 'a leader that the mesh knows to be dead is forgotten, never within a promise to it',
    guards: [
      play('forget-leader', core('raw-node.ts', '    core.leader = undefined;\n')),
      play('forget-leader-mistaken', core('follower.ts', '  core.leader = leader;\n')),
      guard(
        lease,
        'lease: a follower that promised neither votes nor campaigns, whatever it forgot',
        noPromise,
      ),
    ],
  },
  {
    number: 11,
    name: 'no campaign while a committed change of membership is not applied',
    guards: [
      play(
        'unapplied-config-blocks-campaign',
        core(
          'election.ts',
          'if (core.log.hasUnappliedConfig()) return',
          'if (core.term < 0) return',
        ),
      ),
    ],
  },
  {
    number: 12,
    name: 'a learner answers requests for votes',
    guards: [
      play(
        'learner-must-vote',
        core(
          'election.ts',
          'const granted = free && upToDate;',
          'const granted = free && upToDate && isVoter(core.confState, core.id);',
        ),
      ),
    ],
  },
  {
    number: 13,
    name: 'no votes for who was removed, and no elections by them',
    guards: [
      guard(
        members,
        'membership: votes are refused to a member whose removal is applied',
        core('step.ts', 'isRemoved(core.confState, from)', 'core.term < 0'),
      ),
      play(
        'removed-member-is-harmless',
        core('step.ts', 'isRemoved(core.confState, from)', 'core.term < 0'),
      ),
      guard(
        election,
        'who has no vote does not campaign, but answers requests',
        core('election.ts', "  if (!isVoter(core.confState, core.id)) return 'is no voter';\n"),
      ),
    ],
  },
  {
    number: 14,
    name: 'an empty entry first, and only entries of the own term are counted',
    guards: [
      guard(
        replication,
        '5.4.2: a new leader begins its term with an empty entry',
        core('roles.ts', "  appendOwn(core, 'empty', [emptyData]);\n"),
      ),
      play(
        'commit-own-term-only',
        core('replication.ts', ' || log.tail.termAt(index) !== core.term'),
      ),
    ],
  },
  {
    number: 15,
    name: 'hints that skip terms, from both sides',
    guards: [
      guard(
        replication,
        '5.3: whole terms are skipped when looking for the place where logs agree',
        core(
          'follower.ts',
          'log.tail.lastNotAbove(asked, append.prevTerm);',
          '{ index: asked, term: log.tail.termAt(asked) ?? append.prevTerm };',
        ),
      ),
      guard(
        replication,
        '5.3: whole terms are skipped when looking for the place where logs agree',
        core(
          'replication.ts',
          'tail.lastNotAbove(answer.hintIndex, answer.hintTerm).index',
          'answer.hintIndex',
        ),
      ),
    ],
  },
  {
    number: 16,
    name: 'probe, replicate, snapshot; a heartbeat ends a probe on an idle group',
    guards: [
      play('heartbeat-recovers-from-probing', core('replication.ts', '  progress.release();\n')),
      guard(
        progress,
        'progress: on an idle group a heartbeat is enough to end a probe',
        core('replication.ts', " || progress.state === 'probe') nudge", ') nudge'),
      ),
      guard(
        progress,
        'progress: probing sends one append, then waits for a sign of life',
        core('progress.ts', '      this.#waiting = true;\n      return;\n', '      return;\n'),
      ),
    ],
  },
  {
    number: 17,
    name: 'what is in flight is bounded by count and bytes',
    guards: [
      guard(
        limits,
        'limits: no more than the window is in flight, by count',
        core('inflights.ts', 'this.#count >= this.#messagesMax || ', ''),
      ),
      guard(
        limits,
        'limits: no more than the window is in flight, by bytes',
        core('inflights.ts', ' || this.#bytes >= this.#bytesMax', ''),
      ),
    ],
  },
  {
    number: 18,
    name: 'with a full window an empty append finds out that all was lost',
    guards: [
      guard(
        limits,
        'limits: a full window lets one empty append through after a sign of life',
        core(
          'replication.ts',
          'if (entries.length === 0 && !due) return false;',
          'if (entries.length === 0 && (windowFull || !due)) return false;',
        ),
      ),
      play('slow-follower', core('replication.ts', '  progress.release();\n')),
    ],
  },
  {
    number: 19,
    name: 'a quota of uncommitted bytes; empty entries are exempt',
    guards: [
      guard(
        limits,
        'limits: a leader cut off from its group stops taking proposals in time',
        core('proposals.ts', 'core.uncommittedBytes + bytes > uncommittedBytesMax', 'bytes < 0'),
      ),
      guard(
        limits,
        'limits: proposals beyond the quota of uncommitted bytes are dropped',
        core('proposals.ts', '    bytes > 0 &&\n'),
      ),
    ],
  },
  {
    number: 20,
    name: 'committed entries come in pages',
    guards: [
      guard(
        limits,
        'limits: committed entries come in pages, one after the other',
        core('log.ts', 'const room = bytesMax - this.#applyingBytes;', 'const room = 2 ** 40;'),
      ),
    ],
  },
  {
    number: 21,
    name: 'a commit index whose message was lost arrives all the same',
    guards: [
      play(
        'lagging-commit',
        core('replication.ts', 'Math.min(progress.match, core.log.commit)', '0'),
      ),
    ],
  },
  {
    number: 22,
    name: 'messages twice or late do no harm; heartbeats commit what is matched only',
    guards: [
      guard(
        replication,
        '5.3: messages that come twice or late change nothing',
        core('log.ts', 'const fresh = entries.findIndex(', 'const fresh = 0 * entries.findIndex('),
      ),
      guard(
        progress,
        'progress: acknowledgements and refusals that were overtaken change nothing',
        core('progress.ts', '    if (index <= this.match) return false;\n'),
      ),
      guard(
        replication,
        '5.3: a heartbeat commits only what the follower has acknowledged',
        core('replication.ts', 'Math.min(progress.match, core.log.commit)', 'core.log.commit'),
      ),
    ],
  },
  {
    number: 23,
    name: 'nothing leaves, or counts, before the write it depends on is durable',
    guards: [
      guard(
        durability,
        'durability: an acknowledgement leaves after the entries are durable',
        core('follower.ts', '  else queued.push(answer);', '  else core.messages.push(answer);'),
      ),
      guard(
        durability,
        'durability: requests for votes leave after the log and the term they speak of',
        core(
          'election.ts',
          "if (type === 'vote') sendAfterPersist(core, message);",
          "if (type === 'vote') core.messages.push(message);",
        ),
      ),
      guard(
        durability,
        'durability: the own vote counts when it is durable, and only in its term',
        core('roles.ts', '  core.selfVoteDue = true;', '  core.votes.set(core.id, true);'),
      ),
      play(
        'async-leader-persist',
        core('replication.ts', 'core.log.stable : ', 'core.log.lastIndex : '),
      ),
    ],
  },
  {
    number: 24,
    name: 'the end of an overtaken write proves nothing',
    guards: [
      guard(
        log,
        'log: an acknowledged write counts only as long as its entries are there',
        core(
          'log.ts',
          '    for (const write of this.#writes) write.through = Math.min(write.through, last);\n',
        ),
      ),
      play(
        'async-writes-overlap',
        core(
          'log.ts',
          '    for (const write of this.#writes) write.through = Math.min(write.through, last);\n',
        ),
      ),
    ],
  },
  {
    number: 25,
    name: 'a torn tail is cut off, a damaged middle is refused',
    guards: [
      guard(
        wal,
        'wal: a torn group loses its tail only, wherever its pages were lost',
        driver('wal-segment.ts', 'found.batchStart > end', 'found.batchStart > 0'),
      ),
      guard(
        wal,
        'wal: a flipped bit in the middle is refused with the place and a remedy',
        driver('wal-segment.ts', 'if (survivor !== undefined) {', 'if (survivor === -1) {'),
      ),
    ],
  },
  {
    number: 26,
    name: 'a lost, wiped or older data directory is detected, and never votes again',
    guards: [
      guard('node/own-identity.test.ts', 'identity: * is refused, and the way back named', {
        ...{ file: 'src/node/own-identity.ts', find: 'file.settled && !hasLog', replace: 'false' },
      }),
      guard(
        'consensus/lost-data.test.ts',
        'lost data: an older copy of a disk stops its member, and says what to do',
        driver('lost-data.ts', 'if (commit <= lastIndex) return undefined;', 'return undefined;'),
      ),
      guard(
        replication,
        'data that was acknowledged and is gone is a broken law',
        core(
          'log.ts',
          "      broken('a member holds every entry it acknowledged; lost data needs a new identity', {\n",
          '      Object.is(index, {\n',
        ),
      ),
    ],
  },
  {
    number: 27,
    name: 'snapshot instead of log, pause, resume by report or by acknowledgement',
    guards: [
      play(
        'snapshot-fallback',
        core(
          'progress.ts',
          "return this.state === 'snapshot' || this.#waiting;",
          'return this.#waiting;',
        ),
      ),
      play(
        'snapshot-failed',
        core('replication.ts', '  if (!ok) progress.pendingSnapshot = 0 as LogIndex;\n'),
      ),
      play(
        'snapshot-resumes-by-ack',
        core('replication.ts', 'progress.match + 1 >= core.log.firstIndex', 'core.term < 0'),
      ),
    ],
  },
  {
    number: 28,
    name: 'a snapshot carries the whole configuration, and replaces a log that disagrees',
    guards: [
      guard(
        members,
        'membership: a joiner in a joint state learns all of it from the snapshot',
        core('follower.ts', '  adoptConfig(core, snapshot.confState, snapshot.index);\n'),
      ),
      guard(
        members,
        'membership: a snapshot carries the configuration of its index, not of today',
        core(
          'core.ts',
          'for (const entry of core.confHistory) if (entry.index <= index) found = entry.confState;',
          'found = core.confState;',
        ),
      ),
      guard(
        snapshots,
        'snapshots: one that disagrees with the log replaces all of it',
        core('log.ts', '    this.tail.reset(meta);\n'),
      ),
    ],
  },
  {
    number: 29,
    name: 'snapshots in chunks, to members that are heard, with the log they will need',
    guards: [
      guard(
        snapshots,
        'snapshots: a member that is not heard gets none',
        core('replication.ts', '  if (!progress.recentlyActive) return false;\n'),
      ),
      guard(
        'consensus/snapshotter.test.ts',
        'snapshotter: while one is being sent, the log behind it stays as long as that takes',
        driver('snapshotter.ts', 'this.#components.retain() + 1', 'keepFrom'),
      ),
    ],
  },
  {
    number: 30,
    name: 'a stalled disk or a stuck state machine makes the leader hand over',
    guards: [
      guard(
        'consensus/upkeep.test.ts',
        'stalls: a leader * hands over, and is not elected again',
        driver('stall-watch.ts', 'standingMs >= applyMs', 'standingMs < 0'),
      ),
      guard(
        'consensus/upkeep.test.ts',
        'stalls: a leader * hands over, and is not elected again',
        driver('stall-watch.ts', 'writeAgeMs >= diskMs', 'writeAgeMs < 0'),
      ),
      guard(
        pace,
        'election: who is held back neither campaigns nor takes over, and votes',
        core('election.ts', '  if (core.heldBack !== undefined) return core.heldBack;\n'),
      ),
    ],
  },
  {
    number: 31,
    name: 'one change in flight, joint consensus for several, both majorities',
    guards: [
      guard(
        members,
        'membership: one change is in flight at a time',
        core(
          'membership.ts',
          'if (core.pendingConfIndex > core.log.applied) {',
          'if (core.term < 0) {',
        ),
      ),
      guard(
        members,
        'membership: in a joint configuration both halves have to agree',
        core('quorum.ts', 'const both = Math.min(incoming, outgoing);', 'const both = incoming;'),
      ),
      guard(
        members,
        'membership: in a joint configuration votes of both halves are needed',
        core(
          'quorum.ts',
          "return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';",
          "return incoming === 'won' ? 'won' : 'pending';",
        ),
      ),
      guard(
        'raft/config-change.test.ts',
        'config change: every change comes out as counting node by node has it',
        core('config-change.ts', '(outgoing.has(node) ? learnersNext : learners)', '(learners)'),
      ),
    ],
  },
  {
    number: 32,
    name: 'a joint configuration is left by itself, also after an election',
    guards: [
      play('joint-auto-leave', core('raw-node.ts', '    maybeLeaveJoint(core);\n')),
      play('joint-auto-leave-after-election', core('raw-node.ts', '    maybeLeaveJoint(core);\n')),
    ],
  },
  {
    number: 33,
    name: 'a removed leader leads on without counting itself; a smaller quorum commits at once',
    guards: [
      guard(
        members,
        'membership: a removed leader leads on until those who remain know',
        core('leaving.ts', 'if (known >= leavingIndex) leave(core);', 'leave(core);'),
      ),
      play(
        'leader-removes-itself',
        core(
          'membership.ts',
          '  if (!isVoter(confState, core.id) && core.leavingIndex === undefined) beginLeaving(core);\n',
        ),
      ),
      play(
        'removal-commits-what-now-suffices',
        core(
          'membership.ts',
          '  maybeCommit(core);\n  confirmReads(core);\n',
          '  confirmReads(core);\n',
        ),
      ),
    ],
  },
  {
    number: 34,
    name: 'learners first, careful promotion and replacement, ids for ever',
    guards: [
      guard(
        voters,
        'membership: a learner has to have kept up for a second, and to be there',
        driver('membership.ts', 'one.healthyMs >= limits.promotionStableMs', 'one.healthyMs > 0'),
      ),
      guard(
        voters,
        'membership: no decision breaks a rule, and they come to an end',
        driver(
          'membership.ts',
          'return rest.length > 0 && present >= majorityOf(rest.length);',
          'return true;',
        ),
      ),
      guard(
        voters,
        'membership: who the cluster does not know goes first, learners before voters',
        driver('membership.ts', 'council.removeStale() ??'),
      ),
      guard(
        voters,
        'membership: votes are spread over zones',
        driver('membership.ts', ' ??\n    council.rebalance()', ''),
      ),
      guard(
        voters,
        'membership: learners that never come hold up nobody',
        driver(
          'membership.ts',
          'this.#learners.filter((member) => !this.#isGone(member)).length',
          'this.#learners.length',
        ),
      ),
      guard(
        voters,
        'membership: a removal must leave a majority that answers',
        driver(
          'membership.ts',
          'if (reachable.length >= majority) return undefined;',
          'return undefined;',
        ),
      ),
      guard(
        members,
        'membership: a removed id is refused for ever, also after restarts and snapshots',
        core('config-change.ts', '  if (refusal !== undefined) return refused(refusal);\n'),
      ),
      play('joiner-gets-snapshot', core('quorum.ts', 'majorityOf(voters.length) - 1', '0')),
    ],
  },
  {
    number: 35,
    name: 'hand-over: catches up, skips pre-vote, refuses proposals, ends in time or with its target',
    guards: [
      play(
        'transfer',
        core('proposals.ts', 'if (core.transferTarget !== undefined) {', 'if (core.term < 0) {'),
      ),
      guard(
        reads,
        'transfer: waits until the target has everything',
        core('replication.ts', ' || progress.match !== core.log.lastIndex) return;', ') return;'),
      ),
      play(
        'transfer',
        core('transfer.ts', "maybeCampaign(core, 'transfer')", "maybeCampaign(core, 'pre-vote')"),
      ),
      play(
        'transfer-times-out',
        core('tick.ts', "    abortTransfer(core, 'it took an election timeout');\n"),
      ),
      play(
        'transfer-aborted-by-removal',
        core('membership.ts', "    abortTransfer(core, 'the target is no voter any more');\n"),
      ),
      guard(
        reads,
        'transfer: a leader that steps down forgets the hand-over',
        core('roles.ts', '  core.transferTarget = undefined;\n'),
      ),
    ],
  },
  {
    number: 36,
    name: 'linearizable reads by quorum or lease; a barrier before a new leader acts',
    guards: [
      guard(
        reads,
        'reads: a leader answers after a majority confirmed that it leads',
        core('read-index.ts', 'if (round.context > confirmed) break;', ''),
      ),
      play(
        'read-index-new-leader',
        core(
          'read-index.ts',
          'return core.log.tail.termAt(core.log.commit) === core.term;',
          'return true;',
        ),
      ),
      play(
        'read-index',
        core(
          'ready.ts',
          'if (readContext !== undefined) broadcastHeartbeat(core, readContext);',
          '',
        ),
      ),
      guard(
        limits,
        'limits: a leader takes no more reads than it can remember',
        core('read-index.ts', 'reads.count >= settings.pendingReadsMax', 'reads.count < 0'),
      ),
      guard(
        'consensus/read-barrier.test.ts',
        'read barrier: waits until the position is applied here',
        driver('read-barrier.ts', 'round.index > this.#components.applied()', 'round.index < 0'),
      ),
      guard(
        lease,
        'lease: a promise counts from when its heartbeat left, not from when it came',
        core('lease.ts', ' * (1 - clockDriftMax) - marginMs', ''),
      ),
      guard(
        'raft/lease-chaos.test.ts',
        'lease: no malice of clocks, network and members makes a read stale',
        noPromise,
      ),
      guard(
        'raft/lease-chaos.test.ts',
        'lease: no malice of clocks, network and members makes a read stale',
        core('core.ts', 'lease: { promiseElapsed: 0,', 'lease: { promiseElapsed: 1e9,'),
      ),
      guard(
        lease,
        'lease: who hands over relies on no promise any more, nor after it gave up',
        core(
          'lease.ts',
          'if (core.lease.handedOver || core.transferTarget !== undefined) return false;',
          '',
        ),
      ),
      guard(
        'consensus/lease-clock.test.ts',
        'lease clock: time that the machine slept through has passed',
        driver('lease-clock.ts', 'this.#leaptMs += leapMs', 'this.#leaptMs += 0'),
      ),
      guard(
        'consensus/leadership.test.ts',
        'leadership: it is gained when all of earlier terms is applied, not before',
        driver('leadership.ts', 'entry.term !== this.#leading || ', ''),
      ),
    ],
  },
];
