/**
 * Serves a store by etcd's KV interface to the clients of bench-kv-client.ts, and to no others: it tells calls apart by
 * the very bytes those send. Nothing here belongs to the product, whose interface is that of Kubernetes.
 */

import { createServer, type Server, type Socket } from 'node:net';
import type { Key, Store } from '../../src/store/types.ts';
import type { KvStatus } from './bench-kv-client.ts';
import {
  ANSWER_HEADERS,
  answerTrailers,
  bytesField,
  CALLS,
  type Call,
  encodeFrame,
  FLAG,
  FRAME,
  type Frame,
  FrameReader,
  grpcMessage,
  numberField,
  openingFrames,
  PREFACE,
  readFields,
  replyTo,
  requestHeaders,
} from './bench-wire.ts';

export type KvBackend = { readonly store: Store; readonly status: () => KvStatus };

const CALL_BY_HEADERS = new Map(
  (Object.keys(CALLS) as Call[]).map((call) => [requestHeaders(call).toString('latin1'), call]),
);
const OK_TRAILERS = answerTrailers(0);
const UNAVAILABLE_TRAILERS = answerTrailers(14);

/** Listens for clients until closed. */
export function serveKv(backend: KvBackend, host: string, port: number): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) => void new Session(socket, backend));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}

class Session {
  readonly #socket: Socket;
  readonly #backend: KvBackend;
  readonly #reader = new FrameReader(PREFACE.length);
  readonly #calls = new Map<number, Call>();

  constructor(socket: Socket, backend: KvBackend) {
    this.#socket = socket;
    this.#backend = backend;
    socket.on('data', (chunk: Buffer) => this.#reader.push(chunk, (frame) => this.#take(frame)));
    socket.on('error', () => {}); // A client that is gone expects no answer.
    socket.write(openingFrames());
  }

  #take(frame: Frame): void {
    const reply = replyTo(frame);
    if (reply !== undefined) this.#socket.write(reply);
    if (frame.type === FRAME.headers) {
      const call = CALL_BY_HEADERS.get(frame.payload.toString('latin1'));
      if (call === undefined) this.#socket.destroy(new Error('a client of another kind'));
      else this.#calls.set(frame.stream, call);
    } else if (frame.type === FRAME.data) {
      const call = this.#calls.get(frame.stream);
      this.#calls.delete(frame.stream);
      if (call !== undefined) void this.#serve(frame.stream, call, frame.payload.subarray(5));
    }
  }

  async #serve(stream: number, call: Call, message: Buffer): Promise<void> {
    let frames: Buffer[];
    try {
      const answer = await answerOf(this.#backend, call, message);
      frames = [
        encodeFrame(FRAME.headers, FLAG.endHeaders, stream, ANSWER_HEADERS),
        encodeFrame(FRAME.data, 0, stream, grpcMessage([answer])),
        encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream, OK_TRAILERS),
      ];
    } catch {
      const flags = FLAG.endHeaders | FLAG.endStream;
      frames = [encodeFrame(FRAME.headers, flags, stream, UNAVAILABLE_TRAILERS)];
    }
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(frames));
  }
}

async function answerOf({ store, status }: KvBackend, call: Call, body: Buffer): Promise<Buffer> {
  if (call === 'status') {
    const { member, leader } = status();
    return Buffer.concat([bytesField(1, numberField(2, member)), numberField(4, leader)]);
  }
  const fields = readFields(body);
  const name = fields.get(1) as Buffer;
  const key = name.toString('latin1') as Key;
  if (call === 'put') {
    // Copied, as a server does that hands a request on: the received bytes belong to the socket.
    const value = Buffer.from(fields.get(2) as Buffer);
    const operation = { op: 'put' as const, key, value, revisionOffset: -1 };
    const { kind } = await store.transact({ checks: [], operations: [operation] });
    if (kind !== 'committed') throw new Error(`the put was answered with ${kind}`);
    return bytesField(1, numberField(3, store.revision()));
  }
  await store.readBarrier();
  const header = bytesField(1, numberField(3, store.revision()));
  const found = store.get(key);
  if (found === undefined) return header;
  const kv = [bytesField(1, name), numberField(3, found.revision), bytesField(5, found.bytes)];
  return Buffer.concat([header, bytesField(2, Buffer.concat(kv))]);
}
