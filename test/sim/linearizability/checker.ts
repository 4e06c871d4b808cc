/**
 * Is there an order of all operations, each somewhere between question and answer, in which every answer is what a single copy
 * of the keys would have given? The search of Wing and Gong (1993), with Lowe's memory (2017) of what was tried: the set of
 * operations placed so far and the state they lead to. Groups of keys are judged one by one, which is sound as
 * linearizability is local. It knows nothing of logs, revisions and leaders.
 *
 * Operations without an answer make the search long, as each may take effect at any time or never. In the first searches those
 * that left no trace are left out, and the others tried last, and only where the next operation needs one of them. That finds
 * nearly every order there is, but may miss one; only the last search, which tries everything everywhere, says that there is none.
 */

import type { Operation, Values } from './operations.ts';

export type Verdict =
  | { readonly kind: 'linearizable' }
  | {
      readonly kind: 'violation';
      readonly group: string;
      /** As many operations as could be put in order, and those of which none can come next. */
      readonly placed: readonly Operation[];
      readonly stuck: readonly Operation[];
    }
  /** The search was given up. */
  | { readonly kind: 'undecided'; readonly group: string };

export type CheckOptions = {
  /** Most steps of the search in one group. Default 1 000 000. */
  readonly stepsMax?: number;
};

/** Judges a whole history. */
export function checkLinearizable(
  operations: readonly Operation[],
  options: CheckOptions = {},
): Verdict {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const group = groups.get(operation.group) ?? [];
    groups.set(operation.group, group);
    group.push(operation);
  }
  let undecided: Verdict | undefined;
  for (const [group, members] of groups) {
    const stepsMax = options.stepsMax ?? 1_000_000;
    const attempts = [
      { operations: seenOnly(members), lazy: true },
      { operations: members, lazy: true },
      { operations: members, lazy: false },
    ];
    let verdict: Verdict = { kind: 'undecided', group };
    for (const attempt of attempts) {
      verdict = new Search({ ...attempt, group, stepsMax }).run();
      if (verdict.kind === 'linearizable') break;
    }
    if (verdict.kind === 'violation') return verdict;
    if (verdict.kind === 'undecided') undecided = verdict;
  }
  return undecided ?? { kind: 'linearizable' };
}

/** A place in the time line: an operation is asked, or answered. */
type Mark = {
  readonly number: number;
  readonly asks: boolean;
  previous: Mark | undefined;
  next: Mark | undefined;
  /** Of a question: the answer to it. */
  match: Mark | undefined;
};

type State = readonly (string | null)[];
type Placed = { readonly mark: Mark; readonly before: State; readonly base: State | undefined };

type SearchOptions = {
  readonly group: string;
  readonly operations: readonly Operation[];
  readonly stepsMax: number;
  /** True: what was not answered is placed only where the next operation needs it. */
  readonly lazy: boolean;
};

class Search {
  readonly #group: string;
  readonly #operations: readonly Operation[];
  readonly #keys: readonly string[];
  readonly #stepsMax: number;
  readonly #head: Mark;
  /** Answered operations that are not in order yet. */
  #due: number;
  #state: State;
  /** The state before the unanswered operations that were placed last. */
  #base: State | undefined;
  readonly #set: Bits;
  readonly #tried = new Set<string>();
  readonly #order: Placed[] = [];
  #longest: readonly Placed[] = [];

  readonly #lazy: boolean;

  constructor({ group, operations, stepsMax, lazy }: SearchOptions) {
    this.#group = group;
    this.#lazy = lazy;
    this.#operations = operations;
    this.#keys = [...new Set(operations.flatMap(keysOf))].sort();
    this.#stepsMax = stepsMax;
    this.#state = this.#keys.map(() => null);
    this.#set = new Bits(operations.length);
    this.#due = operations.filter(({ answered }) => answered !== Infinity).length;
    this.#head = timeline(operations);
  }

  run(): Verdict {
    const group = this.#group;
    let steps = 0;
    let at = this.#head.next;
    let answered = true;
    while (this.#due > 0) {
      if (at === undefined || !at.asks) {
        if (answered && this.#lazy) {
          answered = false;
          at = this.#head.next;
          continue;
        }
        // Nobody asked by now can come next: the last choice was wrong.
        const last = this.#order.pop();
        if (last === undefined) return this.#violation();
        this.#unplace(last);
        answered = !this.#lazy || last.mark.match !== undefined;
        at = last.mark.next;
        continue;
      }
      if (this.#lazy && (at.match !== undefined) !== answered) {
        at = at.next;
        continue;
      }
      if (++steps > this.#stepsMax) return { kind: 'undecided', group };
      if (this.#tryPlace(at)) {
        answered = true;
        at = this.#head.next;
      } else at = at.next;
    }
    return { kind: 'linearizable' };
  }

  #tryPlace(mark: Mark): boolean {
    const operation = this.#operations[mark.number];
    if (operation === undefined) return false;
    const before = this.#state;
    const base = this.#base;
    const after = this.#step(operation, before);
    if (after === undefined) return false;
    const unanswered = mark.match === undefined;
    // It could have come before what was guessed.
    if (this.#lazy && !unanswered && base !== undefined && this.#step(operation, base))
      return false;
    const baseAfter = unanswered ? (base ?? before) : undefined;
    this.#set.set(mark.number);
    const trace = `${this.#set.key()}|${after.join('|')}|${this.#lazy && baseAfter?.join('|')}`;
    if (this.#tried.has(trace)) {
      this.#set.clear(mark.number);
      return false;
    }
    this.#tried.add(trace);
    this.#state = after;
    this.#base = baseAfter;
    this.#order.push({ mark, before, base });
    if (this.#order.length > this.#longest.length) this.#longest = this.#order.slice();
    lift(mark);
    if (mark.match !== undefined) {
      lift(mark.match);
      this.#due--;
    }
    return true;
  }

  #unplace({ mark, before, base }: Placed): void {
    this.#state = before;
    this.#base = base;
    this.#set.clear(mark.number);
    if (mark.match !== undefined) {
      putBack(mark.match);
      this.#due++;
    }
    putBack(mark);
  }

  /** The state behind `operation`, or undefined if its answer is not what this state gives. */
  #step(operation: Operation, state: State): State | undefined {
    const { input, output, follows } = operation;
    if (input.kind === 'read') {
      if (output?.kind !== 'values') return state;
      return this.#agrees(output.values, state) ? state : undefined;
    }
    const asExpected = this.#agrees(input.expect, state);
    if (output?.kind === 'conflict') {
      return asExpected || follows !== undefined ? undefined : state;
    }
    // Without an answer it may have found a conflict as well; to be placed without effect is to be done with.
    if (!asExpected) return output === undefined && !this.#lazy ? state : undefined;
    if (follows !== undefined && !this.#agrees(follows, state)) return undefined;
    const after = state.slice();
    for (const [key, value] of Object.entries(input.write)) after[this.#keys.indexOf(key)] = value;
    return after;
  }

  #agrees(values: Values, state: State): boolean {
    for (const [key, value] of Object.entries(values)) {
      if (state[this.#keys.indexOf(key)] !== value) return false;
    }
    return true;
  }

  #violation(): Verdict {
    const placed = this.#longest.flatMap(({ mark }) => this.#operations[mark.number] ?? []);
    const known = new Set(placed);
    const rest = this.#operations.filter((operation) => !known.has(operation));
    const firstAnswer = Math.min(...rest.map(({ answered }) => answered));
    const stuck = rest.filter(({ asked }) => asked < firstAnswer);
    return { kind: 'violation', group: this.#group, placed, stuck };
  }
}

/** Without what was never answered and left no trace: such an operation may as well never have taken effect. */
function seenOnly(operations: readonly Operation[]): readonly Operation[] {
  const seen = new Set<string | null>();
  const see = (values: Values) => {
    for (const value of Object.values(values)) if (value !== null) seen.add(value);
  };
  for (const { input, output, follows } of operations) {
    if (output?.kind === 'values') see(output.values);
    if (input.kind === 'transact' && output?.kind === 'committed') see(input.expect);
    if (follows !== undefined) see(follows);
  }
  return operations.filter(
    ({ input, output }) =>
      output !== undefined ||
      (input.kind === 'transact' && Object.values(input.write).some((value) => seen.has(value))),
  );
}

function keysOf({ input }: Operation): readonly string[] {
  if (input.kind === 'read') return input.keys;
  return [...Object.keys(input.expect), ...Object.keys(input.write)];
}

/** Questions and answers in order, behind a head. What was never answered has no second mark. */
function timeline(operations: readonly Operation[]): Mark {
  const marks: { readonly at: number; readonly mark: Mark }[] = [];
  for (const [number, { asked, answered }] of operations.entries()) {
    const blank = { number, previous: undefined, next: undefined };
    const question: Mark = { ...blank, asks: true, match: undefined };
    marks.push({ at: asked, mark: question });
    if (answered === Infinity) continue;
    question.match = { ...blank, asks: false, match: undefined };
    marks.push({ at: answered, mark: question.match });
  }
  marks.sort((left, right) => left.at - right.at);
  const head: Mark = {
    number: -1,
    asks: false,
    previous: undefined,
    next: undefined,
    match: undefined,
  };
  let last = head;
  for (const { mark } of marks) {
    mark.previous = last;
    last.next = mark;
    last = mark;
  }
  return head;
}

/** Takes a mark out of the line; its neighbours are remembered in it. */
function lift(mark: Mark): void {
  if (mark.previous !== undefined) mark.previous.next = mark.next;
  if (mark.next !== undefined) mark.next.previous = mark.previous;
}

function putBack(mark: Mark): void {
  if (mark.previous !== undefined) mark.previous.next = mark;
  if (mark.next !== undefined) mark.next.previous = mark;
}

/** A set of small numbers that can be compared as a text. */
class Bits {
  readonly #words: Uint16Array;

  constructor(size: number) {
    this.#words = new Uint16Array(Math.ceil(size / 16));
  }

  set(number: number): void {
    const word = number >> 4;
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (number & 15));
  }

  clear(number: number): void {
    const word = number >> 4;
    this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (number & 15));
  }

  key(): string {
    return String.fromCharCode(...this.#words);
  }
}
