/**
 * Several kinds of frames on one stream: each begins with a byte that says what it is. Used to carry
 * terminals, logs and forwarded ports, where data, end of input, window size and exit share a stream.
 */

import type { MeshStream } from './types.ts';

export type TaggedFrame = { readonly tag: number; readonly payload: Uint8Array };

/** Data is cut into frames of at most this, so that many tunnels share a connection fairly. */
export const TUNNEL_DATA_BYTES_MAX = 128 * 1024;

const NOTHING = new Uint8Array(0);

export class Tunnel {
  readonly stream: MeshStream;

  constructor(stream: MeshStream) {
    this.stream = stream;
  }

  /** Sends a frame; resolves when the stream can take another. Rejects with stream-closed. */
  send(tag: number, payload: Uint8Array = NOTHING): Promise<void> {
    const frame = Buffer.allocUnsafe(payload.byteLength + 1);
    frame[0] = tag;
    frame.set(payload, 1);
    return this.stream.send(frame);
  }

  /** Sends bytes of any length in as many frames as needed. */
  async sendData(tag: number, data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.byteLength; offset += TUNNEL_DATA_BYTES_MAX) {
      await this.send(tag, data.subarray(offset, offset + TUNNEL_DATA_BYTES_MAX));
    }
  }

  /** The other side's frames, until it ends its half. Throws stream-closed on a reset. */
  async *frames(): AsyncGenerator<TaggedFrame, void, undefined> {
    for await (const frame of this.stream.frames) {
      const tag = frame[0];
      if (tag !== undefined) yield { tag, payload: frame.subarray(1) };
    }
  }
}
