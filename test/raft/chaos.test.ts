/**
 * Random schedules against one group: messages lost, doubled and reordered, disks that take their
 * time, crashes, partitions, membership changes, compaction, hand-overs. After every step the laws are
 * checked, and at the end, with everything healed, the group has to work. `--seed=n --runs=n` repeat.
 */

import t from 'tap';
import type { ConfChangeStep, Entry, Message, NodeId } from '../../raft/types.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { Member } from './support/cluster.ts';
import { bytes, Cluster } from './support/cluster.ts';

const argument = (name: string, fallback: number): number => {
  const found = process.argv.find((word) => word.startsWith(`--${name}=`));
  return found === undefined ? fallback : Number(found.slice(name.length + 3));
};

/** One run: a group, its adversary, and what is known to be true of it. */
class Chaos {
  readonly #random;
  readonly #cluster: Cluster;
  readonly #queues = new Map<NodeId, Entry[]>();
  readonly #history = new Map<number, string>();
  readonly #leaders = new Map<number, NodeId>();
  readonly #readFloors = new Map<number, number>();
  #acknowledged = 0;
  #proposals = 0;
  #requests = 0;
  #cut = new Set<NodeId>();
  #joined = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#cluster = new Cluster(['a', 'b', 'c'], {
      seed,
      electionTicks: 6,
      appendBytesMax: 100,
      inflightMessagesMax: 3,
      committedBytesMax: 100,
    });
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#act();
      this.#checkLeaders();
    }
    this.#heal();
  }

  #act(): void {
    const member = this.#random.pick([...this.#cluster.members.values()]);
    const dice = this.#random.float();
    if (dice < 0.4) this.#deliver();
    else if (dice < 0.66) this.#take(member);
    else if (dice < 0.86) this.#persist(member);
    else if (dice < 0.91) this.#apply(member);
    else if (dice < 0.955) member.node.tick();
    else if (dice < 0.985) this.#propose(member);
    else if (dice < 0.992) this.#read(member);
    else this.#disturb(member);
  }

  #disturb(member: Member): void {
    const others = [...this.#cluster.members.keys()];
    const dice = this.#random.int(1, 16);
    if (dice <= 4) this.#crash(member);
    else if (dice <= 7) this.#cut = new Set(others.filter(() => this.#random.chance(0.3)));
    else if (dice <= 9) this.#cut.clear();
    else if (dice <= 11) this.#compact(member);
    else if (dice <= 13) this.#changeMembers(member);
    else if (dice === 14) member.node.transferLeadership(this.#random.pick(others));
    else if (dice === 15) member.node.forgetLeader();
    else member.node.reportUnreachable(this.#random.pick(others));
  }

  #deliver(): void {
    const { wire } = this.#cluster;
    if (wire.length === 0) return;
    const at = Math.min(wire.length - 1, this.#random.int(0, 5));
    const message = wire[at];
    if (message === undefined) return;
    if (!this.#random.chance(0.05)) wire.splice(at, 1);
    const lost =
      this.#cut.has(message.from) !== this.#cut.has(message.to) || this.#random.chance(0.05);
    this.#arrive(message, lost);
  }

  #arrive(message: Message, lost: boolean): void {
    if (!lost) this.#cluster.members.get(message.to)?.node.step(message);
    if (message.type === 'snapshot')
      this.#cluster.members.get(message.from)?.node.reportSnapshot(message.to, !lost);
  }

  #take(member: Member): void {
    if (!member.node.hasReady()) return;
    this.#cluster.send(member.take());
    const ready = member.pending.at(-1);
    for (const { requestId, index } of ready?.readStates ?? []) {
      const floor = this.#readFloors.get(requestId) ?? 0;
      if (index < floor) throw new Error(`a read at ${index} misses what was there at ${floor}`);
    }
    if (ready?.snapshot === undefined) this.#queue(member).push(...(ready?.committed ?? []));
  }

  #persist(member: Member): void {
    // A snapshot takes the state machine's place behind everything that was committed before.
    if (member.pending[0]?.snapshot !== undefined) this.#apply(member);
    this.#cluster.send(member.persist({ apply: false }));
  }

  #apply(member: Member): void {
    const entries = this.#queue(member).splice(0);
    for (const entry of entries) {
      const content = `${entry.term} ${entry.kind} ${entry.data.join()}`;
      const known = this.#history.get(entry.index);
      if (known !== undefined && known !== content)
        throw new Error(`${member.id} applies ${content} at ${entry.index}, others ${known}`);
      this.#history.set(entry.index, content);
      this.#acknowledged = Math.max(this.#acknowledged, entry.index);
    }
    const first = entries[0];
    if (first !== undefined && first.index !== member.node.status().applied + 1)
      throw new Error(
        `${member.id} is handed ${first.index} after ${member.node.status().applied}`,
      );
    member.apply(entries);
  }

  #queue(member: Member): Entry[] {
    const queue = this.#queues.get(member.id) ?? [];
    this.#queues.set(member.id, queue);
    return queue;
  }

  #crash(member: Member): void {
    // Batches that need no sync may be lost, like any other, from the first lost one on.
    this.#queue(member).length = 0;
    member.restart();
  }

  #compact(member: Member): void {
    if (member.pending.some(({ snapshot }) => snapshot !== undefined)) return;
    const { applied, firstIndex, role } = member.node.status();
    if (applied < firstIndex || role === 'candidate') return;
    member.compact(this.#random.int(0, Math.min(3, applied + 1 - firstIndex)));
  }

  #propose(member: Member): void {
    member.node.propose([bytes(`${this.#proposals++}`)]);
  }

  #read(member: Member): void {
    const requestId = ++this.#requests;
    this.#readFloors.set(requestId, this.#acknowledged);
    member.node.readIndex(requestId);
  }

  #changeMembers(member: Member): void {
    const { role, confState } = member.node.status();
    if (role !== 'leader') return;
    const steps: ConfChangeStep[] = [];
    const { voters, learners } = confState;
    if (this.#random.chance(0.5) && voters.length > 1)
      steps.push({ kind: 'remove', node: this.#random.pick(voters) });
    const [learner] = learners;
    if (learner !== undefined) steps.push({ kind: 'add-voter', node: learner });
    else if (this.#joined < 5) {
      const node = `n${++this.#joined}`;
      this.#cluster.add(node);
      steps.push({ kind: this.#random.chance(0.5) ? 'add-learner' : 'add-voter', node });
    }
    if (steps.length > 0) member.node.proposeConfChange({ steps, context: bytes('') });
  }

  #checkLeaders(): void {
    for (const member of this.#cluster.members.values()) {
      const { role, term, id, applied, commit, lastIndex } = member.node.status();
      if (applied > commit || commit > lastIndex) throw new Error(`${id}: cursors out of order`);
      if (role !== 'leader') continue;
      const other = this.#leaders.get(term) ?? id;
      if (other !== id) throw new Error(`${id} and ${other} both lead term ${term}`);
      this.#leaders.set(term, id);
    }
  }

  /** Everything works again: the group elects somebody, and takes a proposal everywhere. */
  #heal(): void {
    this.#cut.clear();
    for (let tick = 0; tick < 200; tick++) {
      for (const member of this.#cluster.members.values()) member.node.tick();
      this.#settle();
    }
    const leader = this.#cluster.leader;
    if (leader === undefined) throw new Error('nobody leads');
    const outcome = leader.node.propose([bytes('the end')]);
    if (outcome.kind !== 'accepted') throw new Error(`a healed group takes no proposal`);
    for (let tick = 0; tick < 5; tick++) {
      for (const member of this.#cluster.members.values()) member.node.tick();
      this.#settle();
    }
    const { confState } = leader.node.status();
    if (confState.votersOutgoing.length > 0) throw new Error('the group is still joint');
    for (const id of [...confState.voters, ...confState.learners]) {
      const { applied } = this.#cluster.get(id).node.status();
      if (applied < outcome.index) throw new Error(`${id} applied ${applied} of ${outcome.index}`);
    }
  }

  #settle(): void {
    for (let round = 0; round < 1000; round++) {
      let busy = false;
      for (const member of this.#cluster.members.values()) {
        this.#apply(member);
        while (member.node.hasReady() || member.pending.length > 0) {
          busy = true;
          this.#take(member);
          this.#persist(member);
          this.#apply(member);
        }
      }
      for (const message of this.#cluster.wire.splice(0)) {
        busy = true;
        this.#arrive(message, false);
      }
      if (!busy) return;
    }
    throw new Error('the group does not come to rest');
  }
}

t.test('chaos: no schedule breaks a law, and a healed group works', async (t) => {
  const first = argument('seed', 1);
  const runs = argument('runs', 60);
  for (let seed = first; seed < first + runs; seed++) {
    try {
      new Chaos(seed).run(4000);
    } catch (error) {
      t.fail(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  t.pass(`${runs} runs`);
});
