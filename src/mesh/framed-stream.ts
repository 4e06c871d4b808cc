/**
 * A MeshStream over one libp2p stream: whole frames, batched per turn on the way out, and
 * backpressure both ways. libp2p reports a lost connection as an ordinary close, so the end of the
 * frames counts as proper only if the other side announced it and no frame was cut in half.
 */

import type { Stream } from '@libp2p/interface';
import { Uint8ArrayList } from 'uint8arraylist';
import { SkeinError } from '../lib/errors.ts';
import { FRAME_HEADER_BYTES, FrameDecoder } from './frame-decoder.ts';
import type { MeshLimits } from './limits.ts';
import { atTurnEnd } from './turn-end.ts';
import type { MeshStream, PeerId } from './types.ts';

export type FramedStreamOptions = {
  readonly peer: PeerId;
  readonly protocol: string;
  readonly frameBytesMax: number;
  /** Largest frame the other side may send. Default `frameBytesMax`. */
  readonly receiveBytesMax?: number;
  readonly limits: MeshLimits;
  /** Called when bytes arrive: whoever sends is alive. */
  readonly onTraffic?: () => void;
};

/** Frames up to this size are copied together into one write; larger ones go by reference. */
const COALESCED_FRAME_BYTES = 16 * 1024;

/** Bytes that are handed on at once, without waiting for the turn to end. */
const BATCH_BYTES_MAX = 128 * 1024;

const TAKEN: Promise<void> = Promise.resolve();

type Reader = {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void;
  readonly reject: (error: Error) => void;
};
type Waiter = { readonly resolve: () => void; readonly reject: (error: Error) => void };
type Ending = { readonly kind: 'clean' } | { readonly kind: 'broken'; readonly error: SkeinError };

export class FramedStream implements MeshStream {
  readonly peer: PeerId;
  readonly protocol: string;
  readonly frames: AsyncIterable<Uint8Array>;
  readonly #stream: Stream;
  readonly #options: FramedStreamOptions;
  readonly #decoder: FrameDecoder;
  readonly #closed = new AbortController();

  #outgoing: Uint8Array[] = [];
  #outgoingBytes = 0;
  #flushing = false;
  #writeClosed = false;
  #sendWaiters: Waiter[] = [];

  #received: Uint8Array[] = [];
  #receivedHead = 0;
  #receivedBytes = 0;
  #reader: Reader | undefined;
  #remoteClosedWrite = false;
  #ending: Ending | undefined;

  constructor(stream: Stream, options: FramedStreamOptions) {
    this.peer = options.peer;
    this.protocol = options.protocol;
    this.#stream = stream;
    this.#options = options;
    this.#decoder = new FrameDecoder(options.receiveBytesMax ?? options.frameBytesMax);
    this.frames = { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) };
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteClosedWrite = true;
    });
    stream.addEventListener('end', () => this.#endReading());
    stream.addEventListener('close', (event) => this.#onClose(event.error));
    // libp2p moves what it had queued in its own listener and a microtask, so look after both.
    const drained = () => queueMicrotask(() => this.#releaseSenders());
    stream.addEventListener('drain', drained);
    stream.addEventListener('idle', drained);
    stream.addEventListener('message', (event) => this.#onBytes(event.data));
    // What happened before we listened shows in the status only; a reset and a lost connection also
    // leave the remote half closed, so that alone is no proper end.
    const alive = stream.status === 'open' || stream.status === 'closing';
    if (alive && stream.remoteWriteStatus === 'closed') this.#remoteClosedWrite = true;
    if (stream.readableEnded) this.#endReading();
    if (!alive) this.#onClose(undefined);
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Bytes accepted by `send` that have not left yet. */
  get unsentBytes(): number {
    return this.#outgoingBytes + this.#stream.writeBufferLength;
  }

  send(frame: Uint8Array): Promise<void> {
    if (this.#writeClosed || this.#closed.signal.aborted)
      return Promise.reject(this.#closedError());
    if (frame.byteLength > this.#options.frameBytesMax) {
      return Promise.reject(
        new SkeinError(
          'frame-too-large',
          `a frame of ${frame.byteLength} bytes exceeds the limit of ${this.#options.frameBytesMax} of ${this.protocol}`,
        ),
      );
    }
    this.#outgoing.push(frame);
    this.#outgoingBytes += frame.byteLength + FRAME_HEADER_BYTES;
    if (this.#outgoingBytes >= BATCH_BYTES_MAX) this.#flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      // Answers to many requests that came in one packet leave in one packet.
      atTurnEnd(() => this.#flush());
    }
    const { sendHighWaterBytes, sendBytesMax } = this.#options.limits;
    const unsent = this.unsentBytes;
    if (unsent > sendBytesMax) {
      const error = new SkeinError(
        'stream-closed',
        `${unsent} bytes wait on ${this.protocol} to ${this.peer}, limit ${sendBytesMax}`,
      );
      this.abort(error);
      return Promise.reject(error);
    }
    if (unsent < sendHighWaterBytes && !this.#stream.writableNeedsDrain) return TAKEN;
    return new Promise((resolve, reject) => this.#sendWaiters.push({ resolve, reject }));
  }

  async closeWrite(): Promise<void> {
    if (this.#writeClosed) return;
    this.#writeClosed = true;
    this.#flush();
    try {
      await this.#stream.close();
    } catch (cause) {
      throw new SkeinError('stream-closed', `${this.protocol} to ${this.peer} broke`, { cause });
    }
  }

  abort(reason?: Error): void {
    const error =
      reason instanceof SkeinError
        ? reason
        : new SkeinError('stream-closed', reason?.message ?? `${this.protocol} was aborted`, {
            cause: reason,
          });
    this.#finish({ kind: 'broken', error });
    this.#dropReceived();
    this.#stream.abort(error);
    this.#onClose(error);
  }

  #flush(): void {
    this.#flushing = false;
    const frames = this.#outgoing;
    if (frames.length === 0) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    if (this.#closed.signal.aborted) return;
    try {
      this.#stream.send(assemble(frames));
    } catch (cause) {
      this.abort(new SkeinError('stream-closed', `cannot write ${this.protocol}`, { cause }));
      return;
    }
    this.#releaseSenders();
  }

  #releaseSenders(): void {
    if (this.#sendWaiters.length === 0) return;
    if (this.#stream.writableNeedsDrain) return;
    if (this.unsentBytes >= this.#options.limits.sendHighWaterBytes) return;
    const waiters = this.#sendWaiters;
    this.#sendWaiters = [];
    for (const waiter of waiters) waiter.resolve();
  }

  #onBytes(bytes: Uint8Array | Uint8ArrayList<ArrayBufferLike>): void {
    this.#options.onTraffic?.();
    if (this.#ending !== undefined) return;
    try {
      const chunks = bytes instanceof Uint8Array ? [bytes] : bytes;
      for (const chunk of chunks) this.#decoder.push(chunk, (frame) => this.#onFrame(frame));
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#receivedBytes >= this.#options.limits.readHighWaterBytes) this.#pause();
  }

  #onFrame(frame: Uint8Array): void {
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.resolve({ done: false, value: frame });
      return;
    }
    this.#received.push(frame);
    this.#receivedBytes += frame.byteLength + FRAME_HEADER_BYTES;
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const frame = this.#received[this.#receivedHead];
    if (frame !== undefined) {
      this.#receivedHead++;
      this.#receivedBytes -= frame.byteLength + FRAME_HEADER_BYTES;
      if (this.#receivedHead === this.#received.length) {
        this.#received = [];
        this.#receivedHead = 0;
      } else if (this.#receivedHead > 1024) {
        this.#received = this.#received.slice(this.#receivedHead);
        this.#receivedHead = 0;
      }
      this.#resumeIfLow();
      return Promise.resolve({ done: false, value: frame });
    }
    const ending = this.#ending;
    if (ending !== undefined) {
      if (ending.kind === 'broken') return Promise.reject(ending.error);
      return Promise.resolve({ done: true, value: undefined });
    }
    if (this.#reader !== undefined) {
      return Promise.reject(new Error('frames of a stream are read by one reader at a time'));
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#resumeIfLow();
    });
  }

  #pause(): void {
    try {
      this.#stream.pause();
    } catch {
      // The stream is closing: nothing more arrives, so there is nothing to hold back.
    }
  }

  #resumeIfLow(): void {
    if (this.#stream.readStatus !== 'paused') return;
    if (this.#receivedBytes > this.#options.limits.readHighWaterBytes / 4) return;
    try {
      this.#stream.resume();
    } catch {
      // As above; what had been buffered was handed over before the window update failed.
    }
    if (this.#closed.signal.aborted) this.#endReading();
  }

  #endReading(): void {
    if (this.#ending !== undefined) return;
    if (this.#remoteClosedWrite && this.#decoder.atBoundary) this.#finish({ kind: 'clean' });
    else this.#finish({ kind: 'broken', error: this.#closedError() });
  }

  #onClose(error: Error | undefined): void {
    if (error !== undefined) {
      const closed = new SkeinError('stream-closed', `${this.protocol} to ${this.peer} was reset`, {
        cause: error,
        retryable: true,
      });
      this.#finish({ kind: 'broken', error: closed });
    } else if (this.#stream.readBufferLength === 0) {
      this.#endReading();
    }
    const waiters = this.#sendWaiters;
    this.#sendWaiters = [];
    for (const waiter of waiters) waiter.reject(this.#closedError());
    if (!this.#closed.signal.aborted) this.#closed.abort(this.#closedError());
  }

  /** Sets how reading ends, once; frames that were received whole are still handed out. */
  #finish(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    if (ending.kind === 'broken') reader.reject(ending.error);
    else reader.resolve({ done: true, value: undefined });
  }

  #dropReceived(): void {
    this.#received = [];
    this.#receivedHead = 0;
    this.#receivedBytes = 0;
  }

  #closedError(): SkeinError {
    if (this.#ending?.kind === 'broken') return this.#ending.error;
    return new SkeinError('stream-closed', `${this.protocol} to ${this.peer} is closed`, {
      retryable: true,
    });
  }
}

/** Frames with their lengths in front: small ones copied together, large ones by reference. */
function assemble(frames: readonly Uint8Array[]): Uint8Array | Uint8ArrayList<ArrayBufferLike> {
  const parts: Uint8Array[] = [];
  let index = 0;
  while (index < frames.length) {
    let end = index;
    let bytes = 0;
    while (end < frames.length) {
      const length = frames[end]?.byteLength ?? 0;
      bytes += FRAME_HEADER_BYTES;
      end++;
      if (length > COALESCED_FRAME_BYTES) break;
      bytes += length;
    }
    const block = Buffer.allocUnsafe(bytes);
    let offset = 0;
    let large: Uint8Array | undefined;
    for (; index < end; index++) {
      const frame = frames[index];
      if (frame === undefined) continue;
      offset = block.writeUInt32BE(frame.byteLength, offset);
      if (frame.byteLength > COALESCED_FRAME_BYTES) large = frame;
      else {
        block.set(frame, offset);
        offset += frame.byteLength;
      }
    }
    parts.push(block);
    if (large !== undefined) parts.push(large);
  }
  const only = parts[0];
  return parts.length === 1 && only !== undefined ? only : new Uint8ArrayList(...parts);
}
