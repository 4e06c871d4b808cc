/**
 * The receiving end of snapshots, one at a time. The file is durable before raft's snapshot message is stepped, so that the
 * core never learns of bytes that are not there; what has arrived when a stream breaks is kept for the next one.
 */

import type { Message, SnapshotMeta } from '../../raft/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { messageOf } from '../lib/errors.ts';
import type { MeshStream } from '../mesh/types.ts';
import type { SnapshotTransferComponents, SnapshotVerdict } from './snapshot-transfer.ts';
import {
  type BoundedOptions,
  bounded,
  decodeFrame,
  decodeHeader,
  encodeAnswer,
  identityOf,
  malformed,
  type SnapshotAnswer,
  type SnapshotHeader,
} from './snapshot-wire.ts';
import type { IncomingWriter } from './storage.ts';
import type { TransferProgress } from './transfer-progress.ts';

export type ReceiverEvents = {
  onReceived(message: Message): void;
  verdict(meta: SnapshotMeta): SnapshotVerdict;
};

type Next = () => Promise<Uint8Array>;

export class SnapshotReceiver {
  readonly #components: SnapshotTransferComponents;
  readonly #events: ReceiverEvents;
  readonly #bounds: BoundedOptions;
  readonly #progress: TransferProgress;
  #receiving = false;

  constructor(
    components: SnapshotTransferComponents,
    events: ReceiverEvents,
    bounds: BoundedOptions,
    progress: TransferProgress,
  ) {
    this.#components = components;
    this.#events = events;
    this.#bounds = bounds;
    this.#progress = progress;
  }

  /** Takes a stream that a leader opened. */
  async receive(stream: MeshStream): Promise<void> {
    const { logger } = this.#components;
    const { send, next } = bounded(stream, this.#bounds);
    try {
      if (this.#receiving) {
        await send(encodeAnswer(refusal('another snapshot is being received')));
        return;
      }
      this.#receiving = true;
      let answer: SnapshotAnswer;
      try {
        answer = await this.#take(stream, next);
      } finally {
        this.#receiving = false;
      }
      await send(encodeAnswer(answer));
      await stream.closeWrite();
    } catch (error) {
      logger.warn({ peer: stream.peer, reason: messageOf(error) }, 'receiving a snapshot failed');
      await send(encodeAnswer(refusal(messageOf(error)))).catch(() => {});
      stream.abort();
    }
  }

  async #take(stream: MeshStream, next: Next): Promise<SnapshotAnswer> {
    const { mesh, storage, logger } = this.#components;
    const header = decodeHeader(await next());
    const { meta, size } = header;
    const envelope = { from: stream.peer, to: mesh.self, term: header.term };
    const verdict = this.#events.verdict(meta);
    if (verdict === 'busy') throw malformed('another snapshot is being installed');
    if (verdict === 'known') {
      // Refused, it would be sent for ever: 1. a snapshot is installed; 2. the acknowledgement and the answer
      // are lost; 3. the leader probes where its log does not reach any more.
      this.#events.onReceived({ type: 'snapshot', ...envelope, snapshot: meta });
      return { kind: 'done' };
    }
    const identity = identityOf(header);
    const incoming = identity === undefined ? undefined : storage.incoming;
    const offset = identity === undefined ? 0 : ((await incoming?.have(identity)) ?? 0);
    const from = header.from;
    if (from !== offset) return { kind: 'resume', offset };
    logger.info(
      { peer: stream.peer, index: meta.index, from, bytes: size },
      'receiving a snapshot',
    );
    const writer = await this.#writer(header, from);
    const progress = this.#progress.begin('receiving', stream.peer, size, from);
    try {
      await this.#copy({ size, from }, next, (chunk) => {
        progress.moved(chunk.length);
        return writer.write(chunk);
      });
      await writer.commit();
    } catch (error) {
      await writer.suspend().catch(() => {});
      throw error;
    } finally {
      progress.end();
    }
    const newest = await this.#newestStored();
    if (!this.#bounds.signal.aborted) {
      this.#events.onReceived({ type: 'snapshot', ...envelope, snapshot: newest ?? meta });
    }
    return { kind: 'done' };
  }

  /** One that keeps what arrives, if both ends can go on from it. */
  async #writer(header: SnapshotHeader, from: number): Promise<IncomingWriter> {
    const { storage } = this.#components;
    const identity = identityOf(header);
    if (identity !== undefined && storage.incoming !== undefined) {
      return storage.incoming.receive(identity, from);
    }
    const writer = await storage.writeSnapshot(header.meta);
    return {
      write: (chunk) => writer.write(chunk),
      commit: () => writer.commit(),
      suspend: () => writer.abort(),
    };
  }

  async #copy(
    { size, from }: { readonly size: number; readonly from: number },
    next: Next,
    write: (chunk: Uint8Array) => Promise<void>,
  ): Promise<void> {
    let received = from;
    let checksum = 0;
    for (;;) {
      const frame = decodeFrame(await next());
      if (frame.kind === 'end') {
        if (received !== size) throw malformed(`${received} of ${size} bytes arrived`);
        // Of what is stored as a whole, if only the rest came over this stream.
        if (from === 0 && frame.checksum !== checksum) {
          throw malformed('the checksum does not match');
        }
        return;
      }
      received += frame.bytes.length;
      if (received > size) throw malformed('more bytes arrived than were announced');
      checksum = crc32c(frame.bytes, checksum);
      await write(frame.bytes);
    }
  }

  /** What an install would read: a newer one may be there, whose message came too late to be heard. */
  async #newestStored(): Promise<SnapshotMeta | undefined> {
    const reader = await this.#components.storage.readSnapshot();
    await reader?.release();
    return reader?.meta;
  }
}

const refusal = (reason: string): SnapshotAnswer => ({ kind: 'refused', reason });
