/** The last messages that found no taker, for people to look at. */

import { inspect } from 'node:util';
import type { DeadLetter } from './types.ts';

const LETTERS_MAX = 100;
const MESSAGE_TEXT_MAX = 300;

export class DeadLetters {
  #letters: DeadLetter[] = [];
  #total = 0;

  add(path: string, message: unknown, atMs: number): void {
    this.#total++;
    this.#letters.push({ path, message: describe(message), atMs });
    if (this.#letters.length > LETTERS_MAX) this.#letters.shift();
  }

  /** How many there have ever been. */
  get total(): number {
    return this.#total;
  }

  list(): readonly DeadLetter[] {
    return [...this.#letters];
  }
}

/** A message as one short line; never throws, whatever the message is. */
function describe(message: unknown): string {
  try {
    const text = inspect(message, { depth: 2, breakLength: Number.POSITIVE_INFINITY });
    return text.length > MESSAGE_TEXT_MAX ? `${text.slice(0, MESSAGE_TEXT_MAX)}...` : text;
  } catch {
    return '(a message that cannot be shown)';
  }
}
