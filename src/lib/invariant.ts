/**
 * Invariants: laws of our own code that hold in production too. A broken invariant is a bug, never a
 * user's mistake; whoever owns the failing part decides what dies (the process for consensus and
 * store, the actor for an agent).
 */

/** Thrown when a law of our own code does not hold. Carries the facts that show it. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(message: string, facts: Readonly<Record<string, unknown>>) {
    const shown = Object.entries(facts).map(([key, value]) => `${key}=${String(value)}`);
    super(shown.length === 0 ? message : `${message} (${shown.join(', ')})`);
    this.facts = facts;
  }
}

/**
 * Asserts a law, stated positively: `invariant(applied <= commit, 'applied stays behind commit', {applied, commit})`.
 * Throws InvariantError with the facts when `ok` is false.
 */
export function invariant(
  ok: boolean,
  message: string,
  facts: Readonly<Record<string, unknown>> = {},
): asserts ok {
  if (!ok) throw new InvariantError(message, facts);
}

/** Ends a total switch: the compiler proves it is never reached, the runtime says so if it lies. */
export function unreachable(value: never): never {
  throw new InvariantError('a switch covers every variant', { value: JSON.stringify(value) });
}
