/**
 * Faults on purpose: each is a change of the product's text. A simulator that does not see them proves nothing. An edit's
 * `find` has to occur exactly once in its file, so that it follows the code or is noticed.
 */

import { clusterMutants } from './agents/mutants.ts';
import type { CheckerName } from './checkers/failing.ts';
import type { Edit } from './world/product.ts';
import type { SwarmOptions } from './world/swarm.ts';
import { themeOfElections, themeOfSnapshots } from './world/swarm.ts';

export type Mutant = {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** What it is tried in: a group, or a cluster on top of one. Default: a group. */
  readonly world?: 'cluster';
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
/** Those that know of logs and revisions, which no client does. */
const INSIDERS: readonly CheckerName[] = [
  ...CAUSES,
  'commit order',
  'applied alike',
  'applied once',
  'log matching',
  'leader completeness',
  'snapshot',
  'reads',
  'watches',
  'writes survive',
  'fencing',
];

type Change = readonly [file: string, find: string, replace: string];

const mutant = (name: string, ...changes: readonly Change[]): Mutant => ({
  name,
  edits: changes.map(([file, find, replace]) => ({ file, find, replace })),
});
const core = (name: string, ...changes: readonly Change[]): Mutant =>
  mutant(name, ...changes.map(([file, ...texts]) => [`raft/${file}`, ...texts] as const));
const driver = (name: string, ...changes: readonly Change[]): Mutant =>
  mutant(name, ...changes.map(([file, ...texts]) => [`src/consensus/${file}`, ...texts] as const));
const store = (name: string, ...changes: readonly Change[]): Mutant =>
  mutant(name, ...changes.map(([file, ...texts]) => [`src/store/${file}`, ...texts] as const));

const seenLate = (of: Mutant): Mutant => ({
  ...of,
  name: `${of.name}, by its consequences`,
  skip: CAUSES,
});
const seenByClients = (of: Mutant): Mutant => ({
  ...of,
  name: `${of.name}, by what clients see`,
  skip: INSIDERS,
});
const amidSnapshots = (of: Mutant): Mutant => ({ ...of, adjust: themeOfSnapshots });
/** Leaders that fall again and again with tails of their own, and logs that are sent entry by entry. */
const amidFallenLeaders = (of: Mutant): Mutant => ({
  ...of,
  adjust: (drawn) => ({
    ...themeOfElections(drawn),
    ...{ founders: 5, foundedAlone: false, changeEveryMs: Number.POSITIVE_INFINITY },
    raft: { ...drawn.raft, appendBytesMax: 40, inflightMessagesMax: 1 },
    strikes: {
      moments: ['elected', 'commit', 'acknowledgement'],
      ...{ odds: 0.25, kinds: ['crash', 'cut'], delayMs: 2, meanMs: 300 },
    },
    snapshotEntries: 100_000,
    clients: { ...drawn.clients, floodEveryMs: 60, floodMax: 3, count: 4 },
  }),
});
/** Watchers that move between members of which some are cut off, and come back by a snapshot. */
const amidWatchers = (of: Mutant): Mutant => ({
  ...of,
  adjust: (drawn) => ({
    ...themeOfSnapshots(drawn),
    ...{ founders: 3, foundedAlone: false, historyEvents: 50_000 },
    partition: { everyMs: 600, leastMs: 200, meanMs: 500, modes: ['single'], oneWay: 0 },
    network: {
      ...{ ...drawn.network, loss: 0, delayMeanMs: 1, delayFloorMs: 0.1, bytesPerMs: 100_000 },
      ...{ heldByCut: 0, noticeMs: 50 },
    },
    disk: { ...drawn.disk, floorMs: 0, meanMs: 0.2 },
    clients: {
      ...{ ...drawn.clients, count: 6, watchers: 3, groups: 1, reads: 0.1 },
      ...{ thinkMeanMs: 10, toClaiming: 1 },
    },
  }),
});
/** A crowd that reads and writes at whoever claims to lead, and leaders that are cut off and paused. */
const amidClients = (of: Mutant): Mutant => ({
  ...of,
  adjust: (drawn) => ({
    ...drawn,
    partition: { ...drawn.partition, everyMs: 1_000, modes: ['leader'] },
    pause: { ...drawn.pause, everyMs: 1_500, leader: 0.7 },
    clients: {
      ...drawn.clients,
      count: 6,
      groups: 1,
      reads: 0.5,
      toClaiming: 0.3,
      thinkMeanMs: 10,
    },
  }),
});

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
const sendEarly = driver('acknowledge before the disk has it', [
  'engine.ts',
  'for (const message of ready.messages) this.#send(message);',
  'for (const message of [...ready.messages, ...ready.messagesAfterPersist]) this.#send(message);',
]);
const readNobody = driver('a read asks nobody', [
  'consensus.ts',
  'const waiting = this.#barrier.wait(deadlineMs);',
  'const waiting = Promise.resolve();',
]);
const applyRetries = store('a retried write takes effect again', [
  'sessions.ts',
  'if (earlier !== undefined) return earlier;',
  '',
]);
const staleFence = store('a stale singleton is let in', [
  'state.ts',
  'if (fence.term !== newestTerm)',
  'if (fence.term > newestTerm)',
]);

export const mutants: readonly Mutant[] = [
  sendEarly,
  { ...seenLate(sendEarly), adjust: themeOfElections },
  {
    ...driver('tell the core too early that it is durable', [
      'engine.ts',
      '    this.#storage.append({ entries, hardState }).then(\n',
      '    outstanding.durable = true;\n    this.#acknowledge();\n    this.#storage.append({ entries, hardState }).then(\n',
    ]),
    skip: CAUSES,
  },
  driver('do not write votes and terms down', [
    'engine.ts',
    '    this.#storage.append({ entries, hardState }).then(\n',
    '    this.#storage.append({ entries, hardState: undefined }).then(\n',
  ]),
  applyRetries,
  seenByClients(applyRetries),
  amidSnapshots(
    store('a snapshot lacks the sessions', [
      'sessions.ts',
      'sessions: [...this.#sessions].map(',
      'sessions: [].map(',
    ]),
  ),
  driver('a read does not wait for its position', [
    'read-barrier.ts',
    ' || round.index > this.#components.applied()',
    '',
  ]),
  readNobody,
  amidClients(seenByClients(readNobody)),
  driver('a write is acknowledged when it is proposed', [
    'proposals.ts',
    '      this.#placed.set((first + at) as LogIndex, { term: outcome.term, endMs, resolve });\n',
    "      resolve({ kind: 'applied', index: (first + at), result: { kind: 'committed', revision: 1 } });\n",
  ]),
  driver('a write that was lost with its leader is called dropped', [
    'proposals.ts',
    "placed.resolve({ kind: 'unknown', reason: 'leadership was lost' });",
    "placed.resolve({ kind: 'dropped', reason: 'leadership was lost' });",
  ]),
  driver('a request whose answer was lost is called refused', [
    'forwarding.ts',
    ': lost(messageOf(error));',
    ": { kind: 'refused', reason: messageOf(error) };",
  ]),
  driver('the log is cut before its snapshot is durable', [
    'snapshotter.ts',
    '      await writer.commit();\n',
    '      await storage.compact(meta.index);\n      await writer.commit();\n',
  ]),
  amidSnapshots(
    driver('a log that a snapshot overtook is taken for its end', [
      'log-replay.ts',
      'if (snapshot.index < first.index) return false;',
      'if (snapshot.index >= 0) return false;',
    ]),
  ),
  amidSnapshots(
    driver('an older snapshot is taken over than the one on disk', [
      'snapshot-receiver.ts',
      'snapshot: newest ?? meta',
      'snapshot: meta',
    ]),
  ),
  driver('a new leader takes everybody for present', [
    'autopilot.ts',
    '(heard ? 0 : PRESENT_MS)',
    '0',
  ]),
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
  amidFallenLeaders(seenLate(olderTerms)),
  countUnsynced,
  seenLate(countUnsynced),
  halfIsEnough,
  seenLate(halfIsEnough),
  amidClients(seenByClients(halfIsEnough)),
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
  core('terms are not made durable', [
    'ready.ts',
    'if (hardState.term !== term || hardState.vote !== vote) return true;',
    'if (hardState.vote !== undefined && hardState.vote !== vote) return false;',
  ]),
  staleFence,
  store('a transaction does not look at what it expects', [
    'state.ts',
    'return found?.revision === check.revision;',
    'return found !== undefined;',
  ]),
  store('two replicas order a session table differently', [
    'sessions.ts',
    'this.#sessions.delete(client);\n    this.#sessions.set(client, session);',
    'if (Math.random() < 0.9) this.#sessions.delete(client);\n    this.#sessions.set(client, session);',
  ]),
  amidSnapshots(
    store('watchers are not told of a jump', [
      'state.ts',
      'for (const event of events) this.#hub.collect(event);',
      '',
    ]),
  ),
  amidWatchers(
    store('one may resume inside a jump', [
      'history.ts',
      'return this.#jumpAt(from)?.to;',
      'return undefined;',
    ]),
  ),
  ...clusterMutants,
];
