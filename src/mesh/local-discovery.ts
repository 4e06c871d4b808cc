/**
 * Finding members on the local network when nothing that is known of them holds any more: all have moved at once. Who
 * misses a majority of its peers calls: one datagram with its signed address record, to everybody on the link.
 * Members that hear it take the record and dial. Nobody answers a call: a stranger learns that the caller is there,
 * and nothing of who belongs together; a false call has no signature, and a repeated one is no news.
 */

import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type AddressRecord, ENVELOPE_BYTES_MAX, readAddresses } from './address-record.ts';
import type { PeerId } from './types.ts';

/** The way to everybody on the link. */
export interface BeaconSocket {
  send(packet: Uint8Array): void;
  close(): void;
}

/** Opens it; `onPacket` gets what others send, and may get our own. */
export type OpenBeacon = (onPacket: (packet: Uint8Array) => void) => Promise<BeaconSocket>;

/** How to look for members on the local network. */
export type DiscoveryOptions = {
  readonly open: OpenBeacon;
  /** Without a majority for so long, calls begin. Default 3 s. */
  readonly patienceMs?: number;
};

export type LocalDiscoveryOptions = DiscoveryOptions & {
  readonly clock: Clock;
  readonly log: Logger;
  /** Our record. */
  readonly own: () => AddressRecord | undefined;
  /** Members in all, and how many of them are connected; ourselves left out. */
  readonly reach: () => { readonly members: number; readonly connected: number };
  readonly isMember: (peer: PeerId) => boolean;
  /** A member calls: its record, whose signature nobody has looked at yet. */
  readonly onCall: (record: AddressRecord) => void;
};

const MAGIC = Buffer.from('skein-call-1\n', 'latin1');
const TICK_MS = 1000;
const PATIENCE_MS = 3000;
/** Between calls: the first ones quickly, for who has just started; then seldom. */
const QUICK_CALLS = 10;
const SELDOM_MS = 10_000;
/** Calls looked at between two ticks; more are noise. */
const CALLS_PER_TICK_MAX = 64;

export class LocalDiscovery {
  readonly #options: LocalDiscoveryOptions;
  #socket: BeaconSocket | undefined;
  #timer: Timer | undefined;
  #missingSinceMs: number | undefined;
  #calls = 0;
  #calledMs = Number.NEGATIVE_INFINITY;
  #heard = 0;
  #stopped = false;

  constructor(options: LocalDiscoveryOptions) {
    this.#options = options;
  }

  /** Listens from now on. A machine that cannot do it goes without. */
  async start(): Promise<void> {
    try {
      const socket = await this.#options.open((packet) => this.#hear(packet));
      if (this.#stopped) return socket.close();
      this.#socket = socket;
      this.#schedule();
    } catch (error) {
      this.#options.log.warn({ error }, 'members cannot be looked for on the local network');
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#socket?.close();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.after(TICK_MS, () => {
      this.#tick();
      if (!this.#stopped) this.#schedule();
    });
  }

  #tick(): void {
    this.#heard = 0;
    const { clock, reach, log, patienceMs = PATIENCE_MS } = this.#options;
    const { members, connected } = reach();
    const nowMs = clock.monotonicMs();
    // With ourselves: half of all is no majority.
    if (members === 0 || (connected + 1) * 2 > members + 1) {
      this.#missingSinceMs = undefined;
      this.#calls = 0;
      return;
    }
    this.#missingSinceMs ??= nowMs;
    const pauseMs = this.#calls < QUICK_CALLS ? 0 : SELDOM_MS;
    if (nowMs - this.#missingSinceMs < patienceMs || nowMs - this.#calledMs < pauseMs) return;
    const record = this.#options.own();
    if (record === undefined) return;
    if (this.#calls === 0) {
      log.info({ members, connected }, 'looking for members on the local network');
    }
    this.#calls++;
    this.#calledMs = nowMs;
    this.#socket?.send(Buffer.concat([MAGIC, record.envelope]));
  }

  #hear(packet: Uint8Array): void {
    const { isMember, own, onCall } = this.#options;
    if (this.#stopped || packet.length > MAGIC.length + ENVELOPE_BYTES_MAX) return;
    if (!MAGIC.equals(packet.subarray(0, MAGIC.length))) return;
    if (++this.#heard > CALLS_PER_TICK_MAX) return;
    const record = readAddresses(packet.subarray(MAGIC.length));
    if (record === undefined || record.peer === own()?.peer || !isMember(record.peer)) return;
    onCall(record);
  }
}
