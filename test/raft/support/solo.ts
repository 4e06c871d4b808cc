/** One member alone, spoken to by messages made by hand: for tests of single sentences. */

import type { Entry, Message, NodeId, RaftStatus } from '../../../raft/types.ts';
import { asIndex, asTerm } from '../../../raft/types.ts';
import type { Disk, MemberOptions } from './cluster.ts';
import { foundedDisk, Member } from './cluster.ts';

export type SoloOptions = MemberOptions & {
  /** Default a, b, c; the member itself is a. */
  readonly voters?: readonly NodeId[];
  readonly learners?: readonly NodeId[];
  /** The terms of the entries behind index 1, which is of term 1. Default none. */
  readonly terms?: readonly number[];
  /** The current term. Default that of the last entry. */
  readonly term?: number;
  readonly vote?: NodeId;
  /** Default 1. */
  readonly commit?: number;
};

/** A message's fields as plain numbers; `from` is b, `to` is a, and the rest 0 unless given. */
export type Draft = { readonly type: Message['type'] } & Readonly<Record<string, unknown>>;

/** See the module comment. */
export class Solo {
  readonly member: Member;

  constructor(options: SoloOptions = {}) {
    const { voters = ['a', 'b', 'c'], learners, terms = [], term, vote, commit = 1 } = options;
    const { random = () => 0, ...rest } = memberOptions(options);
    const disk: Disk = foundedDisk(voters, learners === undefined ? {} : { learners });
    disk.entries = terms.map((entryTerm, at) => entry(at + 2, entryTerm));
    const current = asTerm(term ?? terms.at(-1) ?? 1);
    disk.hardState = { term: current, vote, commit: asIndex(commit) };
    this.member = new Member('a', disk, { ...rest, random, id: 'a' });
    this.drain();
  }

  get node(): Member['node'] {
    return this.member.node;
  }

  get status(): RaftStatus {
    return this.member.node.status();
  }

  /** Does all the work there is; returns every message that left. */
  drain(): Message[] {
    const sent: Message[] = [];
    while (this.member.node.hasReady()) sent.push(...this.member.take(), ...this.member.persist());
    return sent;
  }

  /** Delivers one message, then does the work there is; returns what left. */
  step(draft: Draft): Message[] {
    this.member.node.step(message(draft));
    return this.drain();
  }

  tick(count = 1): Message[] {
    for (let left = count; left > 0; left--) this.member.node.tick();
    return this.drain();
  }

  /** Becomes leader with everybody's votes; the empty entry is not acknowledged by anybody. */
  lead(): Message[] {
    this.member.node.campaign();
    this.drain();
    const { term } = this.status;
    const voters = this.status.confState.voters.filter((node) => node !== 'a');
    for (const from of voters) this.step({ type: 'pre-vote-response', from, term: term + 1 });
    const sent: Message[] = [];
    for (const from of voters)
      sent.push(...this.step({ type: 'vote-response', from, term: term + 1 }));
    return sent;
  }

  /** `from` acknowledges `index` in the current term. */
  ack(from: NodeId, index: number): Message[] {
    return this.step({ type: 'append-response', from, term: this.status.term, index });
  }
}

/** Fills in what a test does not care about. */
export function message(draft: Draft): Message {
  const defaults = {
    ...{ from: 'b', to: 'a', term: 1, reject: false, transfer: false, entries: [] },
    ...{ lastIndex: 0, lastTerm: 0, prevIndex: 0, prevTerm: 0, commit: 0, index: 0 },
    ...{ hintIndex: 0, hintTerm: 0, readContext: 0, requestId: 0, target: 'a' },
  };
  return { ...defaults, ...draft } as unknown as Message;
}

/** A data entry. */
export function entry(index: number, term: number, text = `${index}`): Entry {
  const data = new TextEncoder().encode(text);
  return { index: asIndex(index), term: asTerm(term), kind: 'data', data };
}

function memberOptions(options: SoloOptions): MemberOptions {
  const { voters, learners, terms, term, vote, commit, ...rest } = options;
  return rest;
}
