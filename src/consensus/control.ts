/**
 * Orders to the group: add a member, remove one, hand over. Given at any node, carried out by the leader; repeated
 * until done or the deadline, as all of them may be repeated without harm.
 */

import type { LogIndex, NodeId, RaftStatus, Term } from '../../raft/types.ts';
import { sleep } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import type { Mesh } from '../mesh/types.ts';
import type { Engine } from './engine.ts';
import type { Leadership } from './leadership.ts';
import { removalFault } from './membership.ts';

/** The request method under which the leader takes orders. */
export const CONTROL_METHOD = 'consensus.control';

export type ControlOrder = {
  readonly order: 'add' | 'remove' | 'transfer' | 'ping';
  /** Whom it concerns; nobody for a ping, which asks for nothing but the answer; a transfer without a node goes to the most up-to-date voter. */
  readonly node: NodeId | undefined;
};

/** `again`: not now, or not here; the asker repeats. */
type ControlAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'again'; readonly reason: string };

export type ControlComponents = {
  readonly mesh: Mesh;
  readonly clock: Clock;
  readonly engine: Engine;
  readonly leadership: Leadership;
  readonly status: () => RaftStatus;
  /** The context of changes of membership. */
  readonly changeContext: () => Uint8Array;
};

const DEADLINE_MS = 15_000;
const ATTEMPT_MS = 5_000;
const PAUSE_MS = 50;
const PING_MS = 1_000;

type AppliedWaiter = { readonly index: LogIndex; readonly term: Term; done(ok: boolean): void };

/** The orders of one node. */
export class Control {
  readonly #components: ControlComponents;
  readonly #ending = new AbortController();
  #waiters: AppliedWaiter[] = [];

  constructor(components: ControlComponents) {
    this.#components = components;
  }

  /** Sees an order through. Rejects with config-invalid if it is refused, no-leader or deadline-exceeded otherwise. */
  async give(order: ControlOrder): Promise<void> {
    const { clock, leadership } = this.#components;
    const endMs = clock.monotonicMs() + DEADLINE_MS;
    for (;;) {
      const answer = await this.#ask(order);
      if (answer.kind === 'done') return;
      if (answer.kind === 'refused') throw new SkeinError('config-invalid', answer.reason);
      if (clock.monotonicMs() + PAUSE_MS >= endMs) {
        const code = leadership.leader === undefined ? 'no-leader' : 'deadline-exceeded';
        const text = `${order.order} ${order.node ?? ''} was not done in time: ${answer.reason}`;
        throw new SkeinError(code, text, { retryable: true });
      }
      await sleep(PAUSE_MS, clock, this.#ending.signal);
    }
  }

  /** The leader's side: an order from the network. */
  async serve(body: unknown): Promise<ControlAnswer> {
    const { order, node } = (body ?? {}) as Partial<Record<string, unknown>>;
    if (order === 'ping') return { kind: 'done' };
    const known = order === 'add' || order === 'remove' || order === 'transfer';
    const named = typeof node === 'string' && node !== '';
    if (!known || !(named || (order === 'transfer' && (node === undefined || node === null)))) {
      return { kind: 'refused', reason: 'the order cannot be read' };
    }
    return this.#carryOut({ order, node: named ? node : undefined });
  }

  /** A configuration entry (or another one in its place) is applied. */
  applied(index: LogIndex, term: Term): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.index > index) return true;
      waiter.done(waiter.index === index && waiter.term === term);
      return false;
    });
  }

  /** Leadership is gone: what was ordered may or may not come to pass, and is asked for again. */
  leadershipLost(): void {
    for (const waiter of this.#waiters.splice(0)) waiter.done(false);
  }

  stop(): void {
    this.#ending.abort(new SkeinError('aborted', 'the node is stopping'));
    this.leadershipLost();
  }

  async #ask(order: ControlOrder): Promise<ControlAnswer> {
    const { mesh, leadership } = this.#components;
    const leader = leadership.leader;
    if (leader === undefined) return { kind: 'again', reason: 'no leader is known' };
    if (leader === mesh.self) return this.#carryOut(order);
    try {
      const answer = await mesh.request(leader, CONTROL_METHOD, order, {
        deadlineMs: ATTEMPT_MS,
        signal: this.#ending.signal,
      });
      const { kind, reason } = (answer ?? {}) as Partial<Record<string, unknown>>;
      if (kind === 'done') return { kind };
      return { kind: kind === 'refused' ? 'refused' : 'again', reason: String(reason) };
    } catch (error) {
      if (hasCode(error, 'aborted') && this.#ending.signal.aborted) throw error;
      return { kind: 'again', reason: messageOf(error) };
    }
  }

  async #carryOut({ order, node }: ControlOrder): Promise<ControlAnswer> {
    const status = this.#components.status();
    if (status.role !== 'leader') return { kind: 'again', reason: 'this node does not lead' };
    switch (order) {
      case 'transfer':
        return this.#transfer(status, node);
      case 'add':
        return this.#add(status, node ?? '');
      default:
        return this.#remove(status, node ?? '');
    }
  }

  async #add(status: RaftStatus, node: NodeId): Promise<ControlAnswer> {
    const { voters, learners, learnersNext } = status.confState;
    if ([...voters, ...learners, ...learnersNext].includes(node)) return { kind: 'done' };
    if (status.confState.removed?.includes(node)) {
      const reason = `${node} was removed, and ids are never reused: it must join under a new identity`;
      return { kind: 'refused', reason };
    }
    return this.#change('add-learner', node);
  }

  async #remove(status: RaftStatus, node: NodeId): Promise<ControlAnswer> {
    const { voters, learners, learnersNext } = status.confState;
    if (![...voters, ...learners, ...learnersNext].includes(node)) return { kind: 'done' };
    const rest = voters.filter((voter) => voter !== node && voter !== status.id);
    const fault = removalFault(status, node, await this.#answering(rest));
    if (fault !== undefined) {
      return { kind: 'refused', reason: `${node} cannot be removed: ${fault}` };
    }
    // A leader that is to go hands over first; its successor carries the order out.
    if (node === status.id) {
      await this.#transfer(status, undefined);
      return { kind: 'again', reason: 'leadership is being handed over' };
    }
    return this.#change('remove', node);
  }

  /** Who of `nodes` answers this very moment: what the last heartbeats said may be seconds old, and a removal cannot be taken back. */
  async #answering(nodes: readonly NodeId[]): Promise<ReadonlySet<NodeId>> {
    const { mesh } = this.#components;
    const options = { deadlineMs: PING_MS, signal: this.#ending.signal };
    const answers = await Promise.all(
      nodes.map((node) =>
        mesh.request(node, CONTROL_METHOD, { order: 'ping' }, options).then(
          () => [node],
          () => [],
        ),
      ),
    );
    return new Set(answers.flat());
  }

  async #change(kind: 'add-learner' | 'remove', node: NodeId): Promise<ControlAnswer> {
    const context = this.#components.changeContext();
    const outcome = this.#components.engine.use((raft) =>
      raft.proposeConfChange({ steps: [{ kind, node }], context }),
    );
    if (outcome.kind !== 'accepted') {
      const reason = outcome.kind === 'dropped' ? outcome.reason : 'this node does not lead';
      return { kind: 'again', reason };
    }
    const { index, term } = outcome;
    const done = await new Promise<boolean>((resolve) => {
      this.#waiters.push({ index, term, done: resolve });
    });
    return done ? { kind: 'done' } : { kind: 'again', reason: 'leadership was lost' };
  }

  async #transfer(status: RaftStatus, wanted: NodeId | undefined): Promise<ControlAnswer> {
    const { engine, leadership, clock } = this.#components;
    const target = wanted ?? successors(status)[0];
    if (target === undefined) return { kind: 'refused', reason: 'no other voter can be reached' };
    if (target === status.id) return { kind: 'done' };
    if (!status.confState.voters.includes(target)) {
      return { kind: 'refused', reason: `${target} is not a voter` };
    }
    engine.use((raft) => raft.transferLeadership(target));
    const endMs = clock.monotonicMs() + ATTEMPT_MS / 2;
    while (clock.monotonicMs() < endMs) {
      const { leader } = leadership;
      if (leader !== undefined && leader !== status.id) {
        if (wanted === undefined || leader === wanted) return { kind: 'done' };
        return { kind: 'again', reason: `${leader} leads` };
      }
      await sleep(PAUSE_MS / 2, clock, this.#ending.signal);
    }
    return { kind: 'again', reason: `${target} did not take over` };
  }
}

/** The voters that could take over, whoever lacks least first. */
export function successors({ id, confState, progress }: RaftStatus): NodeId[] {
  return progress
    .filter(({ node, recentlyActive }) => {
      return node !== id && recentlyActive && confState.voters.includes(node);
    })
    .sort((a, b) => b.match - a.match)
    .map(({ node }) => node);
}
