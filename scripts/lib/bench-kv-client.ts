/** Clients of etcd's KV interface that measure: each has a connection of its own and one request in flight. */

import { connect, type Socket } from 'node:net';
import {
  bytesField,
  type Call,
  encodeFrame,
  FLAG,
  FRAME,
  FrameReader,
  grpcMessage,
  openingFrames,
  PREFACE,
  readFields,
  replyTo,
  requestHeaders,
} from './bench-wire.ts';

export type Endpoint = { readonly host: string; readonly port: number };

/** What a member says of itself: ids are only good for comparison. */
export type KvStatus = { readonly member: number; readonly leader: number };

const CONNECT_MS = 2_000;
const HEADERS: Readonly<Record<Call, Buffer>> = {
  put: requestHeaders('put'),
  get: requestHeaders('get'),
  status: requestHeaders('status'),
};

type Waiting = {
  readonly stream: number;
  readonly resolve: (message: Buffer | undefined) => void;
  readonly reject: (error: Error) => void;
};

/** One connection. */
export class KvClient {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  #nextStream = 1;
  #waiting: Waiting | undefined;
  #message: Buffer | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#reader.push(chunk, (frame) => this.#take(frame)));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
    socket.write(Buffer.concat([PREFACE, openingFrames()]));
  }

  static open({ host, port }: Endpoint): Promise<KvClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, timeout: CONNECT_MS }, () => {
        socket.removeAllListeners('error').removeAllListeners('timeout').setTimeout(0);
        resolve(new KvClient(socket));
      });
      socket.once('error', reject);
      socket.once('timeout', () => socket.destroy(new Error(`${host} does not answer`)));
    });
  }

  /** Resolves when acknowledged. */
  async put(key: Buffer, value: Buffer): Promise<void> {
    await this.#ask('put', grpcMessage([bytesField(1, key), bytesField(2, value)]));
  }

  /** A linearizable read. Resolves with the answer's length. */
  async get(key: Buffer): Promise<number> {
    return (await this.#ask('get', grpcMessage([bytesField(1, key)]))).length;
  }

  async status(): Promise<KvStatus> {
    const fields = readFields((await this.#ask('status', grpcMessage([]))).subarray(5));
    const header = fields.get(1);
    const member = header instanceof Buffer ? readFields(header).get(2) : undefined;
    return { member: Number(member ?? 0), leader: Number(fields.get(4) ?? 0) };
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  async #ask(call: Call, message: Buffer): Promise<Buffer> {
    if (this.#failure !== undefined) throw this.#failure;
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const answer = new Promise<Buffer | undefined>((resolve, reject) => {
      this.#waiting = { stream, resolve, reject };
    });
    this.#message = undefined;
    const headers = encodeFrame(FRAME.headers, FLAG.endHeaders, stream, HEADERS[call]);
    const data = encodeFrame(FRAME.data, FLAG.endStream, stream, message);
    this.#socket.write(Buffer.concat([headers, data]));
    const result = await answer;
    // A refusal is trailers without a message.
    if (result === undefined) throw new Error(`the server refused a ${call}`);
    return result;
  }

  #take(frame: Parameters<typeof replyTo>[0]): void {
    const reply = replyTo(frame);
    if (reply !== undefined) this.#socket.write(reply);
    if (frame.type === FRAME.goAway) this.#fail(new Error('the server ended the connection'));
    const waiting = this.#waiting;
    if (waiting === undefined || frame.stream !== waiting.stream) return;
    if (frame.type === FRAME.data) {
      const { payload } = frame;
      this.#message = this.#message ? Buffer.concat([this.#message, payload]) : payload;
    }
    if (frame.type === FRAME.reset) this.#fail(new Error('the server reset a request'));
    else if (frame.type <= FRAME.headers && (frame.flags & FLAG.endStream) !== 0) {
      this.#waiting = undefined;
      waiting.resolve(this.#message);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

export type KvLoad = {
  readonly call: 'put' | 'get';
  readonly clients: number;
  /** Ends then, or when `requests` are answered. Default: no end. */
  readonly seconds?: number;
  readonly requests?: number;
  /** Measured after this long. Default 0. */
  readonly warmUpSeconds?: number;
  /** Default 256. */
  readonly valueBytes?: number;
  /** Requests go to this many keys, which a get expects to be there. Default 1000. */
  readonly keys?: number;
};

export type KvLoadResult = {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Time this process computed while it measured, as a share of one core. */
  readonly clientCores: number;
};

/** Keeps `clients` requests in flight, spread evenly over `endpoints`. Rejects when any is refused. */
export async function runKvLoad(
  endpoints: readonly Endpoint[],
  load: KvLoad,
): Promise<KvLoadResult> {
  const { call, warmUpSeconds = 0, valueBytes = 256, keys = 1000 } = load;
  const clients = await Promise.all(
    Array.from({ length: load.clients }, (_, at) =>
      KvClient.open(endpoints[at % endpoints.length] as Endpoint),
    ),
  );
  const startMs = performance.now() + warmUpSeconds * 1000;
  const endMs = startMs + (load.seconds ?? Number.POSITIVE_INFINITY) * 1000;
  const requestsMax = load.requests ?? Number.POSITIVE_INFINITY;
  const latencies: number[] = [];
  let cpu = process.cpuUsage();
  let counting = false;
  let next = 0;
  const work = async (client: KvClient): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < endMs && next < requestsMax; ) {
      const number = next++;
      const key = keyOf(number % keys);
      if (call === 'put') await client.put(key, payloadOf(number, valueBytes));
      else if ((await client.get(key)) < valueBytes) throw new Error(`${key} is not there`);
      const sentMs = nowMs;
      nowMs = performance.now();
      if (sentMs < startMs) continue;
      if (!counting) cpu = process.cpuUsage();
      counting = true;
      latencies.push(nowMs - sentMs);
    }
  };
  try {
    await Promise.all(clients.map(work));
  } finally {
    for (const client of clients) client.close();
  }
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((left, right) => left - right);
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
  return {
    perSecond: latencies.length / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    requests: latencies.length,
    clientCores: (user + system) / 1e6 / seconds,
  };
}

/** Keys of one length, so that requests differ in nothing else. */
export function keyOf(number: number): Buffer {
  return Buffer.from(`/bench/${String(number).padStart(8, '0')}`, 'latin1');
}

/** Does not compress, and no two are alike. */
export function payloadOf(number: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes, NOISE.subarray((number * 31) % (NOISE.length / 2)));
  value.writeUInt32LE(number % 2 ** 32, 0);
  return value;
}

const NOISE = Buffer.from(Array.from({ length: 64 * 1024 }, (_, at) => (at * 2654435761) >>> 24));
