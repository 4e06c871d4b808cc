/**
 * Leases against the whole malice of the world: clocks that run up to five percent fast or slow, messages that take their
 * time or get lost, members that are cut off, paused, restarted, told to forget their leader, to campaign, and to
 * take over. Whoever reads by its lease has to know every write that was acknowledged before.
 * `node test/raft/lease-chaos.test.ts --seed n --runs n` for more.
 */

import { parseArgs } from 'node:util';
import t from 'tap';
import type { Message } from '../../raft/types.ts';
import { type Random, seededRandom } from '../../src/lib/random.ts';
import { bytes, foundedDisk, Member } from './support/cluster.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '25' },
  },
});
const DRIFT_MAX = 0.05;
const RUN_MS = 8_000;
const TICK_MS = 50;
const lease = { promiseMs: 200, tickMs: TICK_MS };

type Letter = { readonly dueMs: number; readonly message: Message };

/** One member with a clock of its own. */
class Host {
  readonly member: Member;
  readonly #random: Random;
  readonly #rate: number;
  #nextTick: number;
  pausedUntilMs = 0;
  leaseReads = 0;
  /** Index of a read by lease that was answered in the last turn. */
  read: number | undefined;

  constructor(id: string, voters: readonly string[], random: Random) {
    this.#random = random;
    this.#rate = 1 + random.pick([-1, 0, 1]) * DRIFT_MAX;
    this.#nextTick = random.int(1, TICK_MS);
    const trace = (event: string, facts: Readonly<Record<string, unknown>>) => {
      if (event === 'lease-read') this.read = Number(facts['index']);
    };
    this.member = new Member(id, foundedDisk(voters), {
      ...{ id, lease, trace, electionTicks: 6, heartbeatTicks: 2 },
      random: () => random.float(),
    });
  }

  /** A turn of the event loop; returns what leaves. */
  turn(nowMs: number): readonly Message[] {
    const { member } = this;
    const ownMs = nowMs * this.#rate;
    this.read = undefined;
    if (ownMs >= this.#nextTick) {
      // A late tick is not made up for.
      this.#nextTick = ownMs + TICK_MS;
      member.node.tick();
    }
    if (member.node.status().role === 'leader') {
      if (this.#random.chance(0.1)) member.node.propose([bytes('x')]);
      member.node.readIndex(1);
    }
    member.nowMs = ownMs;
    const sent: Message[] = [];
    while (member.node.hasReady()) {
      sent.push(...member.take());
      sent.push(...member.persist());
    }
    if (this.read !== undefined) this.leaseReads++;
    return sent;
  }
}

/**
 * A coup: for a while the leader is cut off from some, or all, of the others, who all want to lead, and may start anew. It
 * may have told one of them to take over before.
 */
class Coup {
  readonly #random: Random;
  readonly #against: readonly Host[];
  readonly #leader: string;
  readonly #beginMs: number;
  readonly #endMs: number;

  constructor(hosts: readonly Host[], leader: Host, random: Random, nowMs: number) {
    this.#random = random;
    this.#leader = leader.member.id;
    const others = hosts.filter((host) => host !== leader);
    const heard = random.int(0, Math.floor(others.length / 2));
    this.#against = others.slice(heard);
    // What it told somebody leaves before the links are cut.
    this.#beginMs = nowMs + 20;
    this.#endMs = nowMs + random.int(100, 900);
    const target = random.pick(others).member.id;
    if (random.chance(0.3)) leader.member.node.transferLeadership(target);
  }

  over(nowMs: number): boolean {
    return nowMs >= this.#endMs;
  }

  /** True if nothing passes between the two. */
  cuts({ from, to }: Message, nowMs: number): boolean {
    if (nowMs < this.#beginMs) return false;
    if (from !== this.#leader && to !== this.#leader) return false;
    return this.#against.some(({ member: { id } }) => id === from || id === to);
  }

  incite(hosts: readonly Host[]): void {
    for (const { member } of hosts) {
      if (member.id === this.#leader) continue;
      if (this.#random.chance(0.003)) member.restart();
      if (!this.#random.chance(0.2)) continue;
      member.node.forgetLeader();
      member.node.campaign();
    }
  }
}

/** Runs one schedule; returns the reads that missed a write, and how many reads there were. */
function run(seed: number): { readonly stale: number; readonly reads: number } {
  const random = seededRandom(seed);
  const ids = 'abcde'.slice(0, random.pick([3, 5])).split('');
  const hosts = ids.map((id) => new Host(id, ids, random.fork()));
  const slowMs = random.pick([1, 1, 3, 20, 60]);
  const hostile = random.pick([0.2, 1]);
  let wire: Letter[] = [];
  let coup: Coup | undefined;
  let [written, stale] = [1, 0];
  for (let nowMs = 1; nowMs < RUN_MS; nowMs++) {
    disturb(hosts, random, nowMs, hostile);
    const leader = hosts.findLast(({ member }) => member.node.status().role === 'leader');
    if (coup?.over(nowMs)) coup = undefined;
    if (coup === undefined && leader !== undefined && random.chance(0.005)) {
      coup = new Coup(hosts, leader, random, nowMs);
    }
    coup?.incite(hosts);
    const due = wire.filter((letter) => letter.dueMs <= nowMs);
    wire = wire.filter((letter) => letter.dueMs > nowMs);
    for (const host of hosts) {
      const { id, node } = host.member;
      const mine = due.filter(({ message }) => message.to === id);
      if (nowMs < host.pausedUntilMs) {
        wire.push(...mine);
        continue;
      }
      for (const { message } of mine) node.step(message);
      for (const message of host.turn(nowMs)) {
        if (coup?.cuts(message, nowMs) || random.chance(0.01)) continue;
        // What tells a member to take over is the one way around a promise: it may come very late.
        const delayed = random.chance(message.type === 'timeout-now' ? 0.5 : 0.02);
        const lateMs = delayed ? random.int(1, 1_500) : random.int(1, slowMs);
        wire.push({ message, dueMs: nowMs + lateMs });
      }
      // The read happened in this very turn; what counts was acknowledged in an earlier one.
      if (host.read !== undefined && host.read < written) stale++;
    }
    for (const { member } of hosts) {
      const { role, commit } = member.node.status();
      if (role === 'leader') written = Math.max(written, commit);
    }
  }
  return { stale, reads: hosts.reduce((sum, { leaseReads }) => sum + leaseReads, 0) };
}

function disturb(hosts: readonly Host[], random: Random, nowMs: number, hostile: number): void {
  const host = random.pick(hosts);
  const { node, id } = host.member;
  if (random.chance(0.001 * hostile)) host.pausedUntilMs = nowMs + random.int(20, 700);
  if (nowMs < host.pausedUntilMs) return;
  if (random.chance(0.001 * hostile)) host.member.restart();
  if (random.chance(0.01 * hostile)) node.forgetLeader();
  if (random.chance(0.01 * hostile)) node.campaign();
  if (random.chance(0.002 * hostile)) random.pick(hosts).member.node.transferLeadership(id);
}

t.test('lease: no malice of clocks, network and members makes a read stale', async (t) => {
  let reads = 0;
  const first = Number(values.seed);
  for (let seed = first; seed < first + Number(values.runs); seed++) {
    const outcome = run(seed);
    reads += outcome.reads;
    t.equal(outcome.stale, 0, `seed ${seed}, ${outcome.reads} reads`);
  }
  t.ok(reads > 1_000 * Number(values.runs), `${reads} reads by lease`);
});
