/**
 * Which of several connections with one peer is used. Both sides decide alike from what both know:
 * the one dialled by the lower id, and of several such the latest.
 */

import type { PeerId } from './types.ts';

/** What the choice looks at. */
export type Choosable = {
  readonly peer: PeerId;
  readonly usable: boolean;
  readonly dialledByUs: boolean;
  /** The dialling side's count of its dials. */
  readonly sequence: number;
};

/** The link to use, or undefined when none can be. */
export function chooseLink<L extends Choosable>(links: readonly L[], self: PeerId): L | undefined {
  let best: L | undefined;
  for (const link of links) {
    if (link.usable && (best === undefined || isBetter(link, best, self))) best = link;
  }
  return best;
}

function isBetter(link: Choosable, other: Choosable, self: PeerId): boolean {
  const preferred = dialledByLower(link, self);
  if (preferred !== dialledByLower(other, self)) return preferred;
  return link.sequence > other.sequence;
}

function dialledByLower(link: Choosable, self: PeerId): boolean {
  return link.dialledByUs === self < link.peer;
}
