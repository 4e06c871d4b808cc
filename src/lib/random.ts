/**
 * Randomness as an input: a small seeded generator (sfc32), so that a run can be repeated from its
 * seed. Not for secrets: those come from node:crypto.
 */

export interface Random {
  /** A number in [0, 1). */
  float(): number;
  /** A whole number in [min, max], both included. */
  int(min: number, max: number): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** One item of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** A generator of its own, derived from this one's next output. */
  fork(): Random;
}

/** A generator whose whole output follows from `seed` (any number). */
export function seededRandom(seed: number): Random {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed >>> 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 15; round++) next();
  const float = (): number => next() / 4_294_967_296;
  return {
    float,
    int: (min, max) => min + Math.floor(float() * (max - min + 1)),
    chance: (probability) => float() < probability,
    pick: (items) => {
      const item = items[Math.floor(float() * items.length)];
      if (item === undefined) throw new RangeError('pick needs a list with at least one item');
      return item;
    },
    fork: () => seededRandom(next()),
  };
}

/** A generator seeded from the system's entropy. */
export function entropyRandom(): Random {
  const seed = new Uint32Array(1);
  crypto.getRandomValues(seed);
  return seededRandom(seed[0] ?? 0);
}
