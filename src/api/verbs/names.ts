/** Names that the server makes. */

import type { Random } from '../../lib/random.ts';

/** Letters and digits that cannot spell a word, nor be taken for one another. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const NAME_LENGTH_MAX = 63;

/** `base` (cut to fit) and five random characters. */
export function generateName(base: string, random: Random): string {
  let suffix = '';
  for (let at = 0; at < SUFFIX_LENGTH; at++) {
    suffix += ALPHABET[random.int(0, ALPHABET.length - 1)];
  }
  return base.slice(0, NAME_LENGTH_MAX - SUFFIX_LENGTH) + suffix;
}
