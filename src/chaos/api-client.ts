/**
 * A client of the cluster's HTTPS API that hides nothing: kept-alive connections to every host, one answer or one
 * failure per request, never a retry. What kubectl would smooth over is what the tests of faults ask about.
 */

import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { parse } from 'yaml';

export type Answer = {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
};

/** The part of a Status that clients branch on. */
export type Status = {
  readonly kind?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly { readonly field?: string }[] };
};

export type Call = {
  readonly method?: string;
  /** Text or bytes as they are; anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 15 s: longer than any answer of the server may take. */
  readonly deadlineMs?: number;
};

/** No answer came. `sent` is false when the request certainly never reached a server. */
export class NoAnswer extends Error {
  readonly sent: boolean;
  constructor(message: string, sent: boolean) {
    super(message);
    this.sent = sent;
  }
}

export type Credentials = { readonly ca: string; readonly cert?: string; readonly key?: string };

type Kubeconfig = {
  readonly clusters: readonly {
    readonly name: string;
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
  }[];
  readonly users: readonly {
    readonly user: {
      readonly 'client-certificate-data': string;
      readonly 'client-key-data': string;
    };
  }[];
};

const DEADLINE_MS = 15_000;
const decode = (data: string): string => Buffer.from(data, 'base64').toString('utf8');

/** What clients of the chaos need of it. */
export type Api = Pick<ApiClient, 'call' | 'json' | 'stream'>;

/** One user's client. Close it, or its connections keep the process alive. */
export class ApiClient {
  readonly servers: ReadonlyMap<string, URL>;
  readonly credentials: Credentials;
  readonly #agent: Agent;

  constructor(servers: ReadonlyMap<string, URL>, credentials: Credentials) {
    this.servers = servers;
    this.credentials = credentials;
    this.#agent = new Agent({ keepAlive: true, ...credentials });
  }

  /** The administrator of a kubeconfig with a cluster per host. */
  static async fromKubeconfig(path: string): Promise<ApiClient> {
    const config = parse(await readFile(path, 'utf8')) as Kubeconfig;
    const servers = new Map(
      config.clusters.map(({ name, cluster }) => [name, new URL(cluster.server)]),
    );
    const user = config.users[0]?.user;
    const ca = config.clusters[0]?.cluster['certificate-authority-data'];
    if (!user || !ca) throw new Error(`${path} names no user or no cluster`);
    return new ApiClient(servers, {
      ca: decode(ca),
      cert: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    });
  }

  /** The same servers, another user: without a certificate unless one is given. */
  as(credentials: Partial<Credentials>): ApiClient {
    return new ApiClient(this.servers, { ca: this.credentials.ca, ...credentials });
  }

  /** One request. Resolves with whatever the server answered; rejects with NoAnswer. */
  call(host: string, path: string, options: Call = {}): Promise<Answer> {
    const { deadlineMs = DEADLINE_MS } = options;
    return new Promise((resolve, reject) => {
      const outgoing = request(this.#options(host, path, options));
      const timer = setTimeout(() => {
        outgoing.destroy(new Error(`no answer within ${deadlineMs} ms`));
      }, deadlineMs);
      outgoing.on('response', (response) => {
        void textOf(response).then(
          (text) => {
            clearTimeout(timer);
            resolve({ code: response.statusCode ?? 0, headers: response.headers, text });
          },
          (error: Error) => {
            clearTimeout(timer);
            reject(new NoAnswer(error.message, true));
          },
        );
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(new NoAnswer(error.message, error.code !== 'ECONNREFUSED'));
      });
      outgoing.end(bodyOf(options.body));
    });
  }

  /** A request whose answer must be JSON of success; throws with the Status otherwise. */
  async json<T>(host: string, path: string, options: Call = {}): Promise<T> {
    const answer = await this.call(host, path, options);
    if (answer.code >= 300) {
      throw new Error(`${options.method ?? 'GET'} ${path} on ${host}: ${answer.text}`);
    }
    return JSON.parse(answer.text) as T;
  }

  /** Opens a stream (a watch); resolves with the response once its head is there. */
  stream(host: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ ...this.#options(host, path, {}), agent: false, signal });
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
      outgoing.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #options(host: string, path: string, call: Call): RequestOptions {
    const { method = 'GET', headers } = call;
    const server = this.servers.get(host);
    if (!server) throw new Error(`no host ${host}`);
    const body = bodyOf(call.body);
    const framing =
      body === undefined
        ? {}
        : {
            'content-type': 'application/json',
            // Node would send the body of a DELETE without any length.
            'content-length': String(Buffer.byteLength(body)),
          };
    return {
      ...this.credentials,
      agent: this.#agent,
      host: server.hostname,
      port: server.port,
      method,
      path,
      headers: { accept: 'application/json', ...framing, ...headers },
    };
  }
}

/** The Status of an answer; an empty one when it is none. */
export function statusOf(answer: Answer): Status {
  try {
    return JSON.parse(answer.text) as Status;
  } catch {
    return {};
  }
}

function bodyOf(body: unknown): string | Buffer | undefined {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return body;
  return JSON.stringify(body);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
