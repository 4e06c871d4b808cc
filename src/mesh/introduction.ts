/**
 * Which life of a peer is speaking. A key names a member for ever, but a data directory can be copied, or put back from
 * an old copy: then a process speaks with the right key that has forgotten what the member promised, or two
 * processes do at once. So each greeting says how often the member has started and which start this is, and whoever
 * is greeted judges it before the connection counts.
 */

import { encode } from './codec.ts';
import type { PeerId } from './types.ts';

/** What a greeting claims of its sender's life. */
export type Claim = {
  /** How often the member has started, this time included; 0 from members that do not count. */
  readonly start: number;
  /** Names this start of the process. */
  readonly incarnation: string;
};

/**
 * `older-copy`: the member has started since the claimed start. `in-use`: another process lives under that key.
 * `superseded`: the peer is no member, because a survivor went on without it as the cluster that the detail names.
 */
export type RefusalKind = (typeof REFUSAL_KINDS)[number];
const REFUSAL_KINDS = ['older-copy', 'in-use', 'superseded'] as const;

/** Why a greeting was refused, as the refused side hears it. */
export type Refusal = { readonly kind: RefusalKind; readonly detail: string };

/** What a member says of itself, and how it judges others. */
export type Introduction = {
  /** Durable before it is said. */
  readonly start: number;
  /** Undefined if the claim is good as far as is known here. */
  readonly judge: (peer: PeerId, claim: Claim) => Refusal | undefined;
  /** Why a peer that is no member is none, for it to hear; undefined if nothing is known of it. Default: nothing is. */
  readonly stranger?: (peer: PeerId) => Refusal | undefined;
  /** A member refused us: this process must not go on under its key. */
  readonly onRefused: (by: PeerId, refusal: Refusal) => void;
};

/** Of a member that has not been introduced: counts nothing, believes everybody. */
export const UNINTRODUCED: Introduction = {
  start: 0,
  judge: () => undefined,
  onRefused: () => {},
};

/** Judges `claim` by what is recorded of the member's newest known start. */
export function judgeClaim(
  claim: Claim,
  recorded: Partial<Claim> | undefined,
): Refusal | undefined {
  const { start = 0, incarnation = '' } = recorded ?? {};
  const known = claim.start === start && claim.incarnation === incarnation;
  // A member of the first release counts nothing: one that was rolled back to it must not be shut out.
  if (claim.start === 0 || claim.start > start || known) return undefined;
  const detail = `this is its start ${claim.start}, and start ${start} is known already`;
  return { kind: 'older-copy', detail };
}

const DETAIL_LENGTH_MAX = 512;

/** A refusal for the network. */
export function refusalFrame({ kind: refused, detail }: Refusal): Uint8Array {
  return encode({ refused, detail });
}

/** A refusal as it comes from the network, or undefined if the value is none. */
export function parseRefusal(value: unknown): Refusal | undefined {
  const { refused, detail } = (value ?? {}) as { refused?: unknown; detail?: unknown };
  const kind = REFUSAL_KINDS.find((known) => known === refused);
  return kind && { kind, detail: String(detail ?? '').slice(0, DETAIL_LENGTH_MAX) };
}
