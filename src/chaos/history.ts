/**
 * What clients did and saw, as they saw it: each operation with when it was called and when it was answered. Times are
 * milliseconds of one monotonic clock: all clients live in one process.
 */

type Called = {
  readonly key: string;
  readonly host: string;
  readonly startMs: number;
};

/** A write of a value that no other write has. `expected`: only if the key was at this revision. */
export type WriteCall = Called & {
  readonly kind: 'write';
  readonly value: string;
  readonly expected?: number;
};

export type ReadCall = Called & { readonly kind: 'read' };

/**
 * `done`: the revision the key got, or was found at (0: absent). `conflict`: refused because the key was at another revision.
 * `unknown`: nobody knows; it may take effect at any time after its call, or never.
 */
export type Operation =
  | (WriteCall & { readonly outcome: 'done'; readonly revision: number; readonly endMs: number })
  | (WriteCall & { readonly outcome: 'conflict'; readonly endMs: number })
  | (WriteCall & { readonly outcome: 'unknown' })
  | (ReadCall & {
      readonly outcome: 'done';
      readonly revision: number;
      readonly value: string | undefined;
      readonly endMs: number;
    });

/** The operations of one run, by key. What certainly had no effect (refused, not connected) is not among them. */
export class History {
  readonly #byKey = new Map<string, Operation[]>();
  #count = 0;

  get keys(): readonly string[] {
    return [...this.#byKey.keys()];
  }

  get count(): number {
    return this.#count;
  }

  of(key: string): readonly Operation[] {
    return this.#byKey.get(key) ?? [];
  }

  add(operation: Operation): void {
    const known = this.#byKey.get(operation.key);
    if (known) known.push(operation);
    else this.#byKey.set(operation.key, [operation]);
    this.#count++;
  }
}
