/** The containers of another node, as if they were here: the same port, carried over the mesh. */

import { abortError } from '../lib/async.ts';
import type {
  ByteDuplex,
  ContainerStreams,
  ExecExit,
  ExecOutput,
  ExecSession,
} from '../lib/container-streams.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { Channel } from './channel.ts';
import { encode } from './codec.ts';
import {
  CONTAINER_PROTOCOL,
  decodeExit,
  decodeFailure,
  type SessionRequest,
  TAG,
} from './container-wire.ts';
import { type TaggedFrame, Tunnel } from './tunnel.ts';
import type { Mesh, PeerId } from './types.ts';

/** Reaching the node must not take longer; the session itself may last for days. */
const OPEN_DEADLINE_MS = 10_000;
/** Chunks of output held for a consumer that is busy. */
const OUTPUT_CHUNKS_MAX = 8;

/** The ContainerStreams of `peer`. Its calls reject with what the other side reports, or peer-unreachable. */
export function remoteContainerStreams(mesh: Mesh, peer: PeerId): ContainerStreams {
  const open = (request: SessionRequest, signal: AbortSignal) =>
    openSession(mesh, peer, request, signal);
  return {
    async logs(target, options, signal) {
      const session = await open({ kind: 'logs', target, options }, signal);
      return session.bytes();
    },
    async exec(target, options, signal) {
      const session = await open({ kind: 'exec', target, options }, signal);
      return session.process();
    },
    async attach(target, options, signal) {
      const session = await open({ kind: 'attach', target, options }, signal);
      return session.process();
    },
    async portForward(target, port, signal) {
      const session = await open({ kind: 'port-forward', target, port }, signal);
      return session.duplex();
    },
  };
}

async function openSession(
  mesh: Mesh,
  peer: PeerId,
  request: SessionRequest,
  signal: AbortSignal,
): Promise<RemoteSession> {
  const stream = await mesh.openStream(peer, CONTAINER_PROTOCOL, {
    deadlineMs: OPEN_DEADLINE_MS,
    signal,
  });
  const tunnel = new Tunnel(stream);
  const onAbort = () => stream.abort(abortError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  stream.closed.addEventListener('abort', () => signal.removeEventListener('abort', onAbort));
  const frames = tunnel.frames();
  try {
    if (signal.aborted) throw abortError(signal);
    await tunnel.send(TAG.open, encode(request));
    const first = (await frames.next()).value;
    if (first?.tag === TAG.failed) throw decodeFailure(first.payload);
    if (first?.tag !== TAG.opened) {
      throw new SkeinError('stream-closed', `${peer} ended the session before it began`);
    }
  } catch (error) {
    stream.abort(error instanceof Error ? error : undefined);
    throw signal.aborted ? abortError(signal) : error;
  }
  return new RemoteSession(tunnel, frames);
}

class RemoteSession {
  readonly #tunnel: Tunnel;
  readonly #frames: AsyncGenerator<TaggedFrame, void>;
  #inputEnded = false;

  constructor(tunnel: Tunnel, frames: AsyncGenerator<TaggedFrame, void>) {
    this.#tunnel = tunnel;
    this.#frames = frames;
  }

  /** The output alone, for logs: leaving the loop early ends the session. */
  bytes(): AsyncIterable<Uint8Array> {
    const output = new Channel<Uint8Array>(OUTPUT_CHUNKS_MAX, () => this.abort());
    void this.#pump((frame) => output.put(frame.payload)).then((error) => {
      output.end(error);
      this.#endInput();
    });
    return output;
  }

  process(): ExecSession {
    const output = new Channel<ExecOutput>(OUTPUT_CHUNKS_MAX, () => this.abort());
    const { promise: exit, resolve } = Promise.withResolvers<ExecExit>();
    void this.#pump(async ({ tag, payload }) => {
      if (tag === TAG.exit) resolve(decodeExit(payload));
      else if (tag === TAG.output) await output.put({ channel: 'stdout', data: payload });
      else if (tag === TAG.errorOutput) await output.put({ channel: 'stderr', data: payload });
    }).then((error) => {
      const message = error === undefined ? 'the node gave no exit status' : messageOf(error);
      // Without effect if the exit status came, as it does in an orderly end.
      resolve({ kind: 'failed', message });
      output.end(error);
      this.#endInput();
    });
    return {
      writeStdin: (data) => this.#write(data),
      closeStdin: () => this.#closeInput(),
      resize: (columns, rows) => {
        const size = Buffer.alloc(4);
        size.writeUInt16BE(columns & 0xffff, 0);
        size.writeUInt16BE(rows & 0xffff, 2);
        this.#tunnel.send(TAG.resize, size).catch(() => {});
      },
      output,
      exit,
      abort: () => this.abort(),
    };
  }

  duplex(): ByteDuplex {
    const input = new Channel<Uint8Array>(OUTPUT_CHUNKS_MAX, () => this.abort());
    void this.#pump((frame) => input.put(frame.payload)).then((error) => input.end(error));
    return {
      write: (data) => this.#write(data),
      closeWrite: () => {
        this.#closeInput();
        this.#endInput();
      },
      input,
      abort: () => this.abort(),
    };
  }

  abort(): void {
    this.#tunnel.stream.abort(new SkeinError('aborted', 'the session was ended'));
  }

  /** Hands every frame to `take` until the end; resolves with what went wrong, if anything. */
  async #pump(take: (frame: TaggedFrame) => Promise<void> | void): Promise<Error | undefined> {
    try {
      for await (const frame of this.#frames) {
        if (frame.tag === TAG.failed) {
          const error = decodeFailure(frame.payload);
          this.#tunnel.stream.abort(error);
          return error;
        }
        await take(frame);
      }
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #write(data: Uint8Array): Promise<void> {
    if (this.#inputEnded) {
      return Promise.reject(new SkeinError('stream-closed', 'the input of the session has ended'));
    }
    return this.#tunnel.sendData(TAG.input, data);
  }

  #closeInput(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#tunnel.send(TAG.inputEnd).catch(() => {});
  }

  /** Closes our half, so that the stream ends when the other half has. */
  #endInput(): void {
    this.#inputEnded = true;
    this.#tunnel.stream.closeWrite().catch(() => {});
  }
}
