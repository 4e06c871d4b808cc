/**
 * A lean HTTPS load generator: a fixed number of keep-alive connections, one request in flight on each. It
 * does as little as possible per request, so that on a machine shared with the server it is the server that
 * is measured.
 */

import { connect, type TLSSocket } from 'node:tls';

export type LoadTarget = {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
};

export type LoadRequest = {
  readonly method: string;
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
};

export type LoadResult = {
  readonly requests: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers with a code of 300 or more, by code. */
  readonly refused: Readonly<Record<number, number>>;
};

/** Sends `count` requests built by `make` over `connections` connections. Rejects when a connection breaks. */
export async function runLoad(
  target: LoadTarget,
  options: { readonly connections: number; readonly count: number },
  make: (index: number) => LoadRequest,
): Promise<LoadResult> {
  const clients = await Promise.all(
    Array.from({ length: options.connections }, () => LoadConnection.open(target)),
  );
  const latencies: number[] = [];
  const refused: Record<number, number> = {};
  let next = 0;
  const started = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      while (next < options.count) {
        const request = make(next++);
        const sent = performance.now();
        const code = await client.send(request);
        latencies.push(performance.now() - sent);
        if (code >= 300) refused[code] = (refused[code] ?? 0) + 1;
      }
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  for (const client of clients) client.close();
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
  return {
    requests: options.count,
    seconds,
    perSecond: options.count / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    refused,
  };
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** One connection; answers must carry content-length or be chunked. */
class LoadConnection {
  readonly #socket: TLSSocket;
  readonly #host: string;
  #waiting: { resolve: (code: number) => void; reject: (error: Error) => void } | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  /** Body bytes of the current answer still to come; undefined before its head is complete. */
  #rest: number | 'chunked' | undefined;
  #code = 0;

  private constructor(socket: TLSSocket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the server closed a connection')));
  }

  static open(target: LoadTarget): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const { host, port, ca, cert, key } = target;
      const socket = connect({ host, port, ca, cert, key, ALPNProtocols: ['http/1.1'] }, () => {
        socket.off('error', reject);
        socket.setNoDelay(true);
        resolve(new LoadConnection(socket, `${host}:${port}`));
      });
      socket.once('error', reject);
    });
  }

  send({ method, path, contentType = 'application/json', body }: LoadRequest): Promise<number> {
    const length =
      body === undefined
        ? ''
        : `content-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(
        `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\naccept: application/json\r\n${length}\r\n${body ?? ''}`,
      );
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#rest === undefined) {
      const all = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      const end = all.indexOf(HEAD_END);
      if (end < 0) {
        this.#buffer = all;
        return;
      }
      this.#buffer = Buffer.alloc(0);
      const head = all.toString('latin1', 0, end);
      this.#code = Number(head.slice(9, 12));
      const length = /\r\ncontent-length: *(\d+)/i.exec(head);
      this.#rest = length ? Number(length[1]) : 'chunked';
      this.#onBody(all.subarray(end + HEAD_END.length));
    } else this.#onBody(chunk);
  }

  #onBody(chunk: Buffer): void {
    if (this.#rest === 'chunked') {
      if (!chunk.subarray(-5).equals(Buffer.from('0\r\n\r\n'))) return;
      this.#rest = 0;
    } else this.#rest = (this.#rest ?? 0) - chunk.length;
    if (this.#rest > 0) return;
    this.#rest = undefined;
    this.#waiting?.resolve(this.#code);
  }
}
