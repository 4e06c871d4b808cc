/**
 * Operations as clients see them: asked, and answered, refused, or neither. Keys lie in groups; one operation touches keys of
 * one group only, so each group can be judged by itself.
 */

/** The values of a group's keys by name; null: absent. Every write writes a value of its own. */
export type Values = Readonly<Record<string, string | null>>;

export type Input =
  | { readonly kind: 'read'; readonly keys: readonly string[] }
  /** Takes effect only if the group is as expected; null deletes. */
  | { readonly kind: 'transact'; readonly expect: Values; readonly write: Values };

export type Output =
  | { readonly kind: 'values'; readonly values: Values }
  | { readonly kind: 'committed' }
  /** Something was not as expected. */
  | { readonly kind: 'conflict' };

export type Operation = {
  readonly client: string;
  readonly group: string;
  readonly input: Input;
  /** When it was asked, in the order of all events. */
  readonly asked: number;
  /** When it was answered; Infinity: never, so that it may take effect at any time, or not at all. */
  answered: number;
  output: Output | undefined;
  /**
   * What is known of the state right before a write took effect: a watch showed the version of a key that it replaced. By
   * key.
   */
  follows?: Values;
};

/** Collects what clients do. */
export class OperationLog {
  readonly #operations: Operation[] = [];
  readonly #writers = new Map<string, Operation>();
  #events = 0;

  /** Everything that is not known to have had no effect. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  ask(client: string, group: string, input: Input): Operation {
    const asked = this.#events++;
    const operation = { client, group, input, asked, answered: Infinity, output: undefined };
    this.#operations.push(operation);
    if (input.kind === 'read') return operation;
    for (const value of Object.values(input.write)) {
      if (value !== null) this.#writers.set(value, operation);
    }
    return operation;
  }

  /** The answer came. */
  answer(operation: Operation, output: Output): void {
    operation.answered = Math.min(operation.answered, this.#events++);
    operation.output = output;
  }

  /** It certainly had no effect. */
  refuse(operation: Operation): void {
    const at = this.#operations.lastIndexOf(operation);
    if (at >= 0) this.#operations.splice(at, 1);
  }

  /** A watch showed that a write took effect, and what it replaced: evidence as good as an answer. */
  witness(value: string, key: string, previous: string | null): void {
    const operation = this.#writers.get(value);
    if (operation === undefined) return;
    if (operation.output === undefined) {
      operation.output = { kind: 'committed' };
      operation.answered = Math.min(operation.answered, this.#events++);
    }
    operation.follows = { ...operation.follows, [key]: previous };
  }
}
