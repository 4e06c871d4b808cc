/**
 * Proposals of a node that does not lead: sent to the leader over the mesh, gathered for one turn of the event
 * loop. Whatever goes wrong behind the sending is `unknown`: the request may have arrived.
 */

import type { NodeId } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, messageOf } from '../lib/errors.ts';
import type { Mesh } from '../mesh/types.ts';
import type { LocalOutcome, Proposals } from './proposals.ts';

/** The request method under which the leader takes proposals. */
export const PROPOSE_METHOD = 'consensus.propose';

/** Most proposals, and most bytes, of one request. */
const ITEMS_MAX = 256;
const BYTES_MAX = 1024 * 1024;
/** Most proposals waiting for their turn. */
const WAITING_MAX = 65_536;
/** How much longer the asking side waits than the leader does. */
const MARGIN_MS = 100;

type Waiting = {
  readonly data: Uint8Array;
  readonly deadlineMs: number;
  readonly resolve: (outcome: LocalOutcome) => void;
};

/** The asking side. One leader at a time. */
export class Forwarder {
  readonly #mesh: Mesh;
  readonly #clock: Clock;
  #leader: NodeId | undefined;
  /** Fires when the leader changes: it is no use to wait for the old one's answers. */
  #reign = new AbortController();
  #waiting: Waiting[] = [];

  constructor(mesh: Mesh, clock: Clock) {
    this.#mesh = mesh;
    this.#clock = clock;
  }

  /** Who leads now. Requests under way to anybody else end as unknown. */
  follow(leader: NodeId | undefined): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.#reign.abort();
    this.#reign = new AbortController();
  }

  propose(data: Uint8Array, deadlineMs: number): Promise<LocalOutcome> {
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.resolve({ kind: 'refused', reason: `${WAITING_MAX} proposals are waiting` });
    }
    return new Promise((resolve) => {
      this.#waiting.push({ data, deadlineMs, resolve });
      if (this.#waiting.length === 1) this.#clock.soon(() => this.#flush());
    });
  }

  stop(): void {
    this.#leader = undefined;
    this.#reign.abort();
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    let group: Waiting[] = [];
    let bytes = 0;
    for (const item of waiting) {
      if (group.length >= ITEMS_MAX || (group.length > 0 && bytes + item.data.length > BYTES_MAX)) {
        void this.#send(group);
        group = [];
        bytes = 0;
      }
      group.push(item);
      bytes += item.data.length;
    }
    if (group.length > 0) void this.#send(group);
  }

  async #send(group: readonly Waiting[]): Promise<void> {
    const leader = this.#leader;
    if (leader === undefined) {
      for (const item of group) item.resolve({ kind: 'refused', reason: 'no leader is known' });
      return;
    }
    const deadlineMs = Math.max(1, ...group.map((item) => item.deadlineMs));
    try {
      const body = { deadlineMs, items: group.map((item) => item.data) };
      const answer = await this.#mesh.request(leader, PROPOSE_METHOD, body, {
        deadlineMs: deadlineMs + MARGIN_MS,
        signal: this.#reign.signal,
      });
      const outcomes = decodeAnswer(answer, group.length);
      for (const [at, item] of group.entries()) item.resolve(outcomes[at] ?? lost('no answer'));
    } catch (error) {
      const outcome = hasCode(error, 'not-leader', 'overloaded')
        ? ({ kind: 'refused', reason: messageOf(error) } as const)
        : lost(messageOf(error));
      for (const item of group) item.resolve(outcome);
    }
  }
}

/** The leader's side: takes a request's body from the network and answers it. */
export async function serveProposals(
  body: unknown,
  proposals: Proposals,
): Promise<readonly LocalOutcome[] | undefined> {
  const { deadlineMs, items } = (body ?? {}) as { deadlineMs?: unknown; items?: unknown };
  if (typeof deadlineMs !== 'number' || !(deadlineMs > 0)) return undefined;
  if (!Array.isArray(items) || items.length > ITEMS_MAX) return undefined;
  if (!items.every((item) => item instanceof Uint8Array)) return undefined;
  return Promise.all(
    items.map((data: Uint8Array) =>
      proposals
        .propose(data, deadlineMs)
        .catch((error: unknown) => ({ kind: 'dropped' as const, reason: messageOf(error) })),
    ),
  );
}

function decodeAnswer(answer: unknown, items: number): readonly LocalOutcome[] {
  if (!Array.isArray(answer) || answer.length !== items) return [];
  return answer.map((raw: unknown) => {
    const outcome = (raw ?? {}) as Partial<Record<string, unknown>>;
    const reason = String(outcome['reason'] ?? '');
    switch (outcome['kind']) {
      case 'applied':
        return outcome as LocalOutcome;
      case 'refused':
      case 'dropped':
        return { kind: outcome['kind'], reason };
      default:
        return lost(reason);
    }
  });
}

function lost(reason: string): LocalOutcome {
  return { kind: 'unknown', reason };
}
