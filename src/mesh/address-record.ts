/**
 * Where a member can be dialled, signed by itself: libp2p's signed peer record. Whoever passes it on cannot change it,
 * and of two records of a member the one with the higher sequence is newer, whoever brings it.
 */

import { peerIdFromPrivateKey, peerIdFromPublicKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { multiaddr } from '@multiformats/multiaddr';
import type { Identity } from './identity.ts';
import type { PeerId } from './types.ts';

export type AddressRecord = {
  readonly peer: PeerId;
  readonly addresses: readonly string[];
  readonly sequence: number;
  /** The record as it travels, with its signature. */
  readonly envelope: Uint8Array;
};

/** Most addresses of one member. */
const ADDRESSES_MAX = 16;
/** Longest envelope that is looked at; fits a datagram. */
export const ENVELOPE_BYTES_MAX = 1200;

/** Signs where we are. Addresses beyond the sixteenth are left out. */
export async function sealAddresses(
  identity: Identity,
  addresses: readonly string[],
  sequence: number,
): Promise<AddressRecord> {
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(identity.privateKey),
    multiaddrs: addresses.slice(0, ADDRESSES_MAX).map((address) => multiaddr(bare(address))),
    seqNumber: BigInt(sequence),
  });
  const envelope = (await RecordEnvelope.seal(record, identity.privateKey)).marshal();
  return { ...contentOf(record), envelope };
}

/** What an envelope claims, its signature unchecked: enough to see whether it is news. Undefined if it cannot be read. */
export function readAddresses(envelope: Uint8Array): AddressRecord | undefined {
  if (envelope.length > ENVELOPE_BYTES_MAX) return undefined;
  try {
    const { payload } = RecordEnvelope.createFromProtobuf(envelope);
    const content = contentOf(PeerRecord.createFromProtobuf(payload));
    const fits = content.addresses.length > 0 && content.addresses.length <= ADDRESSES_MAX;
    return fits && Number.isSafeInteger(content.sequence) ? { ...content, envelope } : undefined;
  } catch {
    return undefined;
  }
}

/** True if the member that the record speaks of has signed it. */
export async function isSigned(record: AddressRecord): Promise<boolean> {
  try {
    const { publicKey } = await RecordEnvelope.openAndCertify(record.envelope, PeerRecord.DOMAIN);
    return peerIdFromPublicKey(publicKey).toString() === record.peer;
  } catch {
    return false;
  }
}

function contentOf(record: PeerRecord): Omit<AddressRecord, 'envelope'> {
  const { peerId, multiaddrs, seqNumber } = record;
  const addresses = multiaddrs.map((address) => bare(address.toString()));
  return { peer: peerId.toString(), addresses, sequence: Number(seqNumber) };
}

const bare = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '');
