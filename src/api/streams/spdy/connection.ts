/**
 * The server's half of a SPDY/3.1 connection: the client opens streams, bytes flow both ways on each. Kubernetes clients neither send nor
 * heed window updates, so what bounds memory is TCP: a stream whose reader is slow stops the
 * connection from being read, and writers wait for the socket. Window updates are sent all the same, for clients that count.
 */

import type { Duplex } from 'node:stream';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf, SkeinError } from '../../../lib/errors.ts';
import { drained } from '../../http/drain.ts';
import { ByteChannel } from '../byte-channel.ts';
import {
  CONTROL,
  dataFrame,
  FLAG_FIN,
  FRAME_HEAD_BYTES,
  type FrameHead,
  goAwayFrame,
  pingFrame,
  RST,
  readHead,
  rstStreamFrame,
  streamIdOf,
  synReplyFrame,
  windowUpdateFrame,
} from './frames.ts';
import { HeaderCodec, type Headers } from './headers.ts';

/** One stream that the client opened. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: Headers;
  /** What the client sends; ends with its half of the stream, throws when it resets it. */
  readonly input: ByteChannel;
  /** Accepts the stream. Before anything is written. */
  reply(): Promise<void>;
  /** Resolves when the connection took the bytes. Rejects with stream-closed. */
  write(data: Uint8Array): Promise<void>;
  /** Ends our half. */
  end(): void;
  /** Ends both halves at once. */
  reset(reason?: number): void;
}

export type SpdyOptions = {
  /** Streams open at once. Default 512. */
  readonly streamsMax?: number;
  /** A client that takes nothing for this long is cut. Default one hour: people read logs. */
  readonly drainDeadlineMs?: number;
};

const CONTROL_BYTES_MAX = 64 * 1024;
/** Payload of the data frames we send. */
const DATA_BYTES_MAX = 32 * 1024;
const WINDOW_UPDATE_BYTES = 32 * 1024;
const DRAIN_DEADLINE_MS = 3_600_000;

type Open = {
  readonly stream: SpdyStream;
  readonly input: ByteChannel;
  remoteEnded: boolean;
  localEnded: boolean;
};

/** A SPDY connection on an established transport. `onStream` is called for every stream the client opens. */
export class SpdyConnection {
  readonly #transport: Duplex;
  readonly #clock: Clock;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streamsMax: number;
  readonly #drainDeadlineMs: number;
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, Open>();
  #encoding: Promise<unknown> = Promise.resolve();
  #lastStreamId = 0;
  #closed = false;

  constructor(
    transport: Duplex,
    components: { readonly clock: Clock; readonly onStream: (stream: SpdyStream) => void },
    options: SpdyOptions = {},
  ) {
    this.#transport = transport;
    // Every stream that writes may wait for the socket to drain.
    transport.setMaxListeners(0);
    this.#clock = components.clock;
    this.#onStream = components.onStream;
    this.#streamsMax = options.streamsMax ?? 512;
    this.#drainDeadlineMs = options.drainDeadlineMs ?? DRAIN_DEADLINE_MS;
  }

  /** Reads until the client is done or breaks the protocol. Never rejects; every stream is over afterwards. */
  async run(head: Buffer = Buffer.alloc(0)): Promise<void> {
    try {
      const reader = new FrameReader(this);
      if (head.length > 0) await reader.read(head);
      for await (const chunk of this.#transport) await reader.read(chunk as Buffer);
      this.#end();
    } catch (error) {
      this.#end(new SkeinError('stream-closed', messageOf(error), { cause: error }));
    }
  }

  /** Says goodbye, and closes when all that was written is sent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport.end(goAwayFrame(this.#lastStreamId));
    this.#end();
  }

  /** Cuts the connection. */
  abort(): void {
    this.#end();
    this.#transport.destroy();
  }

  /** @internal A piece of a data frame's payload. */
  async receiveData(streamId: number, data: Buffer, fin: boolean): Promise<void> {
    const open = this.#streams.get(streamId);
    if (open === undefined) {
      // The client may not have heard yet that the stream is over.
      if (data.length > 0) this.#taken(0, data.length);
      return;
    }
    const room = open.input.push(data);
    if (fin) this.#remoteEnded(streamId, open);
    if (!room) await open.input.drained();
  }

  /** @internal A whole control frame. Rejects when the protocol is broken. */
  async receiveControl(head: FrameHead & { kind: 'control' }, body: Buffer): Promise<void> {
    switch (head.type) {
      case CONTROL.synStream:
        return this.#synStream(head.flags, body);
      case CONTROL.headers:
        // The block must pass the decoder even though nobody asks for late headers: it is one stream.
        await this.#codec.decode(body.subarray(4));
        return;
      case CONTROL.rstStream:
        return this.#forget(streamIdOf(body), 'the client reset the stream');
      case CONTROL.ping: {
        const id = body.length < 4 ? 0 : body.readUInt32BE(0);
        // Odd ids are the client's questions; even ones would be answers to ours.
        if (id % 2 === 1) this.#send(pingFrame(id));
        return;
      }
      case CONTROL.goAway:
        // The client opens no more streams; those that are open go on to their end.
        return;
      case CONTROL.settings:
      case CONTROL.windowUpdate:
        return;
      default:
        throw new SkeinError('stream-closed', `SPDY: unexpected frame of type ${head.type}`);
    }
  }

  async #synStream(flags: number, body: Buffer): Promise<void> {
    if (body.length < 10) throw new SkeinError('stream-closed', 'SPDY: SYN_STREAM is too short');
    const id = streamIdOf(body);
    const headers = await this.#codec.decode(body.subarray(10));
    if (id % 2 === 0 || id <= this.#lastStreamId) {
      this.#send(rstStreamFrame(id, RST.protocolError));
      return;
    }
    this.#lastStreamId = id;
    if (this.#streams.size >= this.#streamsMax || this.#closed) {
      this.#send(rstStreamFrame(id, RST.refusedStream));
      return;
    }
    const open = this.#open(id, headers);
    if ((flags & FLAG_FIN) !== 0) this.#remoteEnded(id, open);
    this.#onStream(open.stream);
  }

  #open(id: number, headers: Headers): Open {
    const input = new ByteChannel();
    let unreported = 0;
    input.onTaken = (bytes) => {
      unreported += bytes;
      if (unreported < WINDOW_UPDATE_BYTES) return;
      this.#taken(id, unreported);
      unreported = 0;
    };
    const stream: SpdyStream = {
      id,
      headers,
      input,
      reply: () => this.#reply(id),
      write: (data) => this.#write(id, data),
      end: () => this.#endLocal(id),
      reset: (reason = RST.cancel) => {
        if (!this.#streams.has(id)) return;
        this.#send(rstStreamFrame(id, reason));
        this.#forget(id, 'the stream was reset');
      },
    };
    const open = { stream, input, remoteEnded: false, localEnded: false };
    this.#streams.set(id, open);
    return open;
  }

  /** Blocks are coded one after the other, in the order in which their frames are sent. */
  #reply(id: number): Promise<void> {
    const sent = this.#encoding.then(async () => {
      const block = await this.#codec.encode(new Map());
      this.#send(synReplyFrame(id, block));
    });
    this.#encoding = sent.catch(() => undefined);
    return sent;
  }

  async #write(id: number, data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.length; offset += DATA_BYTES_MAX) {
      const open = this.#streams.get(id);
      if (open === undefined || open.localEnded) {
        throw new SkeinError('stream-closed', 'the client closed the stream');
      }
      const piece = data.subarray(offset, offset + DATA_BYTES_MAX);
      if (!this.#send(dataFrame(id, piece, false))) {
        await drained(this.#transport, this.#clock, { deadlineMs: this.#drainDeadlineMs });
      }
    }
  }

  #endLocal(id: number): void {
    const open = this.#streams.get(id);
    if (open === undefined || open.localEnded) return;
    open.localEnded = true;
    this.#send(dataFrame(id, new Uint8Array(0), true));
    this.#dropIfOver(id, open);
  }

  #remoteEnded(id: number, open: Open): void {
    open.remoteEnded = true;
    open.input.end();
    this.#dropIfOver(id, open);
  }

  #dropIfOver(id: number, open: Open): void {
    if (open.localEnded && open.remoteEnded) this.#streams.delete(id);
  }

  #forget(id: number, why: string): void {
    const open = this.#streams.get(id);
    if (open === undefined) return;
    this.#streams.delete(id);
    open.input.abort(new SkeinError('stream-closed', why));
  }

  #taken(streamId: number, bytes: number): void {
    if (streamId !== 0 && this.#streams.has(streamId))
      this.#send(windowUpdateFrame(streamId, bytes));
    this.#send(windowUpdateFrame(0, bytes));
  }

  /** False when the socket is full. */
  #send(frame: Buffer): boolean {
    if (!this.#transport.writable) return true;
    return this.#transport.write(frame);
  }

  #end(error?: Error): void {
    this.#closed = true;
    for (const { input, remoteEnded } of this.#streams.values()) {
      if (remoteEnded) continue;
      input.abort(error ?? new SkeinError('stream-closed', 'the client closed the connection'));
    }
    this.#streams.clear();
    this.#codec.close();
    if (this.#transport.writable) this.#transport.end();
  }
}

type FrameSink = Pick<SpdyConnection, 'receiveData' | 'receiveControl'>;

/** Cuts the byte stream into frames. Data is handed on as it arrives, control frames whole. */
class FrameReader {
  readonly #sink: FrameSink;
  #held: Buffer = Buffer.alloc(0);
  /** The data frame being received, and how much of it is to come. */
  #data: { streamId: number; fin: boolean; rest: number } | undefined;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  async read(chunk: Buffer): Promise<void> {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      if (this.#data !== undefined) {
        bytes = await this.#readData(this.#data, bytes);
        if (this.#data !== undefined) break;
      }
      if (bytes.length < FRAME_HEAD_BYTES) break;
      const head = readHead(bytes);
      if (head.kind === 'data') {
        this.#data = { streamId: head.streamId, fin: head.fin, rest: head.length };
        bytes = bytes.subarray(FRAME_HEAD_BYTES);
        continue;
      }
      if (head.version !== 3) throw new SkeinError('stream-closed', 'SPDY: not version 3');
      if (head.length > CONTROL_BYTES_MAX) {
        throw new SkeinError('frame-too-large', `SPDY: a control frame of ${head.length} bytes`);
      }
      const end = FRAME_HEAD_BYTES + head.length;
      if (bytes.length < end) break;
      await this.#sink.receiveControl(head, bytes.subarray(FRAME_HEAD_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#held = bytes;
  }

  async #readData(
    data: { streamId: number; fin: boolean; rest: number },
    bytes: Buffer,
  ): Promise<Buffer> {
    if (bytes.length === 0 && data.rest > 0) return bytes;
    const piece = bytes.subarray(0, data.rest);
    data.rest -= piece.length;
    const last = data.rest === 0;
    if (last) this.#data = undefined;
    await this.#sink.receiveData(data.streamId, piece, data.fin && last);
    return bytes.subarray(piece.length);
  }
}
