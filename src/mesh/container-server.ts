/** Serves this node's containers to other nodes: logs, exec, attach and port-forward over the mesh. */

import type { ByteDuplex, ContainerStreams, ExecSession } from '../lib/container-streams.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import {
  CONTAINER_PROTOCOL,
  decodeSessionRequest,
  encodeExit,
  encodeFailure,
  type SessionRequest,
  TAG,
} from './container-wire.ts';
import { type TaggedFrame, Tunnel } from './tunnel.ts';
import type { Mesh, MeshStream } from './types.ts';

/** Lets members use `local`, the containers of this node. Call once per mesh. */
export function serveContainerStreams(mesh: Mesh, local: ContainerStreams): void {
  mesh.handle(CONTAINER_PROTOCOL, (stream) => serveSession(stream, local));
}

async function serveSession(stream: MeshStream, local: ContainerStreams): Promise<void> {
  const tunnel = new Tunnel(stream);
  const frames = tunnel.frames();
  try {
    const first = (await frames.next()).value;
    if (first?.tag !== TAG.open) throw new SkeinError('data-damaged', 'no session was asked for');
    // The stream's end is the session's end: whatever serves it stops when the signal fires.
    await run(decodeSessionRequest(first.payload), tunnel, frames, local);
    await stream.closeWrite();
  } catch (error) {
    await fail(tunnel, error);
  }
}

async function run(
  request: SessionRequest,
  tunnel: Tunnel,
  frames: AsyncGenerator<TaggedFrame, void>,
  local: ContainerStreams,
): Promise<void> {
  const signal = tunnel.stream.closed;
  switch (request.kind) {
    case 'logs': {
      const chunks = await local.logs(request.target, request.options, signal);
      await tunnel.send(TAG.opened);
      void watchForAbort(frames);
      for await (const chunk of chunks) await tunnel.sendData(TAG.output, chunk);
      return;
    }
    case 'exec':
      return runProcess(await local.exec(request.target, request.options, signal), tunnel, frames);
    case 'attach':
      return runProcess(
        await local.attach(request.target, request.options, signal),
        tunnel,
        frames,
      );
    case 'port-forward':
      return runPort(await local.portForward(request.target, request.port, signal), tunnel, frames);
  }
}

async function runProcess(
  session: ExecSession,
  tunnel: Tunnel,
  frames: AsyncGenerator<TaggedFrame, void>,
): Promise<void> {
  const { closed } = tunnel.stream;
  const onClosed = () => session.abort();
  closed.addEventListener('abort', onClosed, { once: true });
  try {
    if (closed.aborted) session.abort();
    await tunnel.send(TAG.opened);
    const input = pumpInput(frames, {
      write: (data) => session.writeStdin(data),
      end: () => session.closeStdin(),
      resize: (columns, rows) => session.resize(columns, rows),
    });
    // A process may close its input and go on: only the output and the exit decide.
    input.catch(() => {});
    for await (const { channel, data } of session.output) {
      await tunnel.sendData(channel === 'stdout' ? TAG.output : TAG.errorOutput, data);
    }
    await tunnel.send(TAG.exit, encodeExit(await session.exit));
  } catch (error) {
    session.abort();
    throw error;
  } finally {
    closed.removeEventListener('abort', onClosed);
  }
}

async function runPort(
  port: ByteDuplex,
  tunnel: Tunnel,
  frames: AsyncGenerator<TaggedFrame, void>,
): Promise<void> {
  const { closed } = tunnel.stream;
  const onClosed = () => port.abort();
  closed.addEventListener('abort', onClosed, { once: true });
  try {
    if (closed.aborted) port.abort();
    await tunnel.send(TAG.opened);
    const input = pumpInput(frames, {
      write: (data) => port.write(data),
      end: () => port.closeWrite(),
    });
    const output = (async () => {
      for await (const data of port.input) await tunnel.sendData(TAG.output, data);
      await tunnel.stream.closeWrite();
    })();
    // Both halves end by themselves, as with TCP; the first failure ends both.
    await Promise.all([input, output]);
  } catch (error) {
    port.abort();
    throw error;
  } finally {
    closed.removeEventListener('abort', onClosed);
  }
}

type InputSink = {
  readonly write: (data: Uint8Array) => Promise<void>;
  readonly end: () => void;
  readonly resize?: (columns: number, rows: number) => void;
};

/** Feeds the client's frames to `sink`, no faster than it takes them. */
async function pumpInput(
  frames: AsyncGenerator<TaggedFrame, void>,
  sink: InputSink,
): Promise<void> {
  let ended = false;
  for await (const { tag, payload } of frames) {
    if (tag === TAG.input && !ended) await sink.write(payload);
    else if (tag === TAG.resize && payload.byteLength === 4) {
      const view = new DataView(payload.buffer, payload.byteOffset, 4);
      sink.resize?.(view.getUint16(0), view.getUint16(2));
    } else if (tag === TAG.inputEnd && !ended) {
      ended = true;
      sink.end();
    }
  }
  if (!ended) sink.end();
}

/** Keeps reading, so that an abort by the client is noticed while nothing is sent. */
async function watchForAbort(frames: AsyncGenerator<TaggedFrame, void>): Promise<void> {
  try {
    for await (const _frame of frames) {
      // A log reader has nothing to say.
    }
  } catch {
    // The stream's `closed` signal has fired, which is what counts.
  }
}

async function fail(tunnel: Tunnel, error: unknown): Promise<void> {
  const reported =
    error instanceof SkeinError ? error : new SkeinError('runtime-failed', messageOf(error));
  try {
    await tunnel.send(TAG.failed, encodeFailure(reported));
    await tunnel.stream.closeWrite();
  } catch {
    tunnel.stream.abort(reported);
  }
}
