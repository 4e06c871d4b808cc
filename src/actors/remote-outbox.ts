/**
 * What goes to one other node: a bounded queue in front of one long-lived stream, opened when there is
 * something to say. Never waits in the caller: a full queue refuses.
 */

import { BoundedQueue } from '../lib/bounded-queue.ts';
import type { RemotePort, RemoteStream } from './remote-port.ts';

export const ACTOR_PROTOCOL = '/skein/actors/1';

export type OutboxOptions = {
  /** Frames that may wait. Default 4096. */
  readonly framesMax?: number;
  /** Bytes that may wait. Default 8 MiB. */
  readonly bytesMax?: number;
};

export type OutboxEvents = {
  /** The stream broke after it was open; what was in flight is lost. */
  readonly onBroken: () => void;
  /** No stream can be opened; what waited is lost. */
  readonly onUnreachable: () => void;
};

export type Outgoing = {
  readonly bytes: Uint8Array;
  /** Called if the frame certainly did not leave. */
  readonly onLost: () => void;
};

/** Opening a stream must not take longer; the peer is unreachable otherwise. */
const OPEN_DEADLINE_MS = 5000;
/** Frames handed over before looking whether the stream takes more. */
const BURST = 64;
/** Largest frame; as the mesh's default. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;

export class RemoteOutbox {
  readonly #port: RemotePort;
  readonly #peer: string;
  readonly #queue: BoundedQueue<Outgoing>;
  readonly #bytesMax: number;
  readonly #events: OutboxEvents;
  #queuedBytes = 0;
  #stream: RemoteStream | undefined;
  #pumping = false;
  #stopped = false;

  constructor(port: RemotePort, peer: string, events: OutboxEvents, options: OutboxOptions = {}) {
    this.#port = port;
    this.#peer = peer;
    this.#events = events;
    this.#queue = new BoundedQueue(options.framesMax ?? 4096);
    this.#bytesMax = options.bytesMax ?? 8 * 1024 * 1024;
  }

  /** Frames that wait. */
  get depth(): number {
    return this.#queue.length;
  }

  /** True if the frame will be sent unless the connection breaks; false if there is no room. */
  post(outgoing: Outgoing): boolean {
    const { byteLength } = outgoing.bytes;
    if (this.#stopped || byteLength > FRAME_BYTES_MAX) return false;
    if (this.#queuedBytes + byteLength > this.#bytesMax && this.#queue.length > 0) return false;
    if (!this.#queue.push(outgoing)) return false;
    this.#queuedBytes += byteLength;
    this.#startPump();
    return true;
  }

  stop(): void {
    this.#stopped = true;
    this.#stream?.abort();
    this.#stream = undefined;
    this.#lose();
  }

  #startPump(): void {
    if (this.#pumping || this.#stopped || this.#queue.length === 0) return;
    this.#pumping = true;
    // After this turn, so that what is told in one turn leaves together.
    queueMicrotask(() => void this.#pump());
  }

  async #pump(): Promise<void> {
    let reached = false;
    try {
      while (this.#queue.length > 0 && !this.#stopped) {
        const stream = await this.#open();
        reached = true;
        let taken: Promise<void> | undefined;
        for (let count = 0; count < BURST; count++) {
          const next = this.#queue.shift();
          if (next === undefined) break;
          this.#queuedBytes -= next.bytes.byteLength;
          taken?.catch(() => {});
          taken = stream.send(next.bytes);
        }
        await taken;
      }
    } catch {
      this.#stream = undefined;
      this.#lose();
      if (this.#stopped) return;
      if (reached) this.#events.onBroken();
      else this.#events.onUnreachable();
    } finally {
      this.#pumping = false;
      this.#startPump();
    }
  }

  async #open(): Promise<RemoteStream> {
    if (this.#stream !== undefined && !this.#stream.closed.aborted) return this.#stream;
    const options = { deadlineMs: OPEN_DEADLINE_MS };
    const stream = await this.#port.openStream(this.#peer, ACTOR_PROTOCOL, options);
    this.#stream = stream;
    stream.closed.addEventListener(
      'abort',
      () => {
        if (this.#stream !== stream) return;
        this.#stream = undefined;
        if (!this.#pumping && !this.#stopped) this.#events.onBroken();
      },
      { once: true },
    );
    return stream;
  }

  #lose(): void {
    this.#queuedBytes = 0;
    for (const { onLost } of this.#queue.drain()) onLost();
  }
}
