/** The gRPC health check (grpc.health.v1.Health/Check) over clear HTTP/2, as probes use it. */

import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { CheckResult } from './thresholds.ts';

export type GrpcTarget = { readonly host: string; readonly port: number; readonly service: string };

const PATH = '/grpc.health.v1.Health/Check';
const SERVING = 1;
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const CODE_UNIMPLEMENTED = '12';
const BODY_BYTES_MAX = 64 * 1024;

type Answer = {
  readonly code: string | undefined;
  readonly message: string;
  readonly body: Buffer;
};

/** One health check; connection failures are results, an abort rejects. */
export async function checkGrpc(target: GrpcTarget, signal: AbortSignal): Promise<CheckResult> {
  const { host, port, service } = target;
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const session = connect(`http://${address}`);
  const onAbort = () => session.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const { code, message, body } = await call(session, requestFrame(service));
    if (code === CODE_UNIMPLEMENTED) {
      const text =
        'error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ';
      return { kind: 'failure', message: text + message };
    }
    if (code !== '0') return { kind: 'failure', message: `error: health rpc failed: ${message}` };
    const status = servingStatus(body);
    if (status === SERVING) return { kind: 'success', message: 'service healthy' };
    const name = STATUS_NAMES[status] ?? String(status);
    return { kind: 'failure', message: `service unhealthy (responded with "${name}")` };
  } catch (error) {
    signal.throwIfAborted();
    const text = `error: failed to connect service "${address}": ${(error as Error).message}`;
    return { kind: 'failure', message: text };
  } finally {
    signal.removeEventListener('abort', onAbort);
    session.destroy();
  }
}

function call(session: ClientHttp2Session, frame: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    session.on('close', () => reject(new Error('the connection was closed')));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: PATH,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
    });
    let head: Record<string, unknown> = {};
    let tail: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    let size = 0;
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (headers) => {
      tail = headers;
    });
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_BYTES_MAX) chunks.push(chunk);
    });
    stream.on('error', reject);
    stream.on('end', () => {
      // An answer without a body carries its status in the headers.
      const code = tail['grpc-status'] ?? head['grpc-status'];
      const message = tail['grpc-message'] ?? head['grpc-message'] ?? '';
      resolve({
        code: code === undefined ? undefined : String(code),
        message: decodeURIComponent(String(message)),
        body: Buffer.concat(chunks),
      });
    });
    stream.end(frame);
  });
}

/** A length-prefixed HealthCheckRequest: field 1 is the service's name. */
function requestFrame(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  const message =
    name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** Field 1 of HealthCheckResponse; 0 when absent. */
function servingStatus(body: Buffer): number {
  const message = body.subarray(5);
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}
