/** Readers of arguments: each takes the text of a flag and says what is expected when it does not fit. */

import { InvalidArgumentError } from 'commander';

/** A whole number of at least 0, in digits. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('Expected a whole number of at least 0.');
  }
  return value;
}

/** A share of a hundred, fractions included. */
export function percent(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 100)) {
    throw new InvalidArgumentError('Expected a number from 0 to 100.');
  }
  return value;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of a duration such as 90s, 10m, 1h30m, 24h or 7d; digits alone are seconds. */
export function seconds(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  if (!/^(\d+[smhd])+$/.test(text)) {
    throw new InvalidArgumentError('Expected a duration such as 90s, 10m, 1h30m, 24h or 7d.');
  }
  let sum = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+)([smhd])/g)) {
    sum += Number(digits) * (UNIT_SECONDS[unit ?? ''] ?? 0);
  }
  return sum;
}

/** One of a few words. */
export const oneOf =
  <T extends string>(...choices: readonly T[]) =>
  (text: string): T => {
    const choice = choices.find((candidate) => candidate === text);
    if (choice !== undefined) return choice;
    throw new InvalidArgumentError(`Expected ${choices.join(' or ')}.`);
  };
