/**
 * Laws of the core that hold in production too. A broken one means that safety can no longer be
 * vouched for: the driver lets it end the process.
 */

/** Thrown when a law of the core does not hold; `facts` show how. */
export class RaftInvariantError extends Error {
  override readonly name = 'RaftInvariantError';
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(law: string, facts: Readonly<Record<string, unknown>>) {
    const shown = Object.entries(facts).map(([key, value]) => `${key}=${String(value)}`);
    super(shown.length === 0 ? law : `${law} (${shown.join(', ')})`);
    this.facts = facts;
  }
}

/** Reports a broken law; `law` is stated positively. Never returns. */
export function broken(law: string, facts: Readonly<Record<string, unknown>> = {}): never {
  throw new RaftInvariantError(law, facts);
}

/** Ends a total switch: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new RaftInvariantError('a switch covers every variant', { value: JSON.stringify(value) });
}
