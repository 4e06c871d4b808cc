/**
 * Snapshots between members: a stream of its own per transfer, so that raft's messages overtake it. Frames:
 * a header (msgpack: the sender's term, the snapshot's meta and size), chunks (1 | bytes), an end
 * (2 | crc32c u32 of all bytes); then one frame back: msgpack `[ok, reason]`. The receiver makes the file
 * durable before it steps raft's snapshot message, so the core never learns of bytes that are not there.
 */

import { Packr } from 'msgpackr';
import type { Message, NodeId, SnapshotMeta, Term } from '../../raft/types.ts';
import { asTerm } from '../../raft/types.ts';
import { withDeadline } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { crc32c } from '../lib/crc32c.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Mesh, MeshStream } from '../mesh/types.ts';
import { decodeSnapshotMeta } from './message-codec.ts';
import type { Storage } from './storage.ts';

export const SNAPSHOT_PROTOCOL = '/skein/raft-snapshot/1';

export type SnapshotTransferComponents = {
  readonly mesh: Mesh;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly logger: Logger;
};

export type SnapshotTransferOptions = {
  /** Most snapshots sent at once; the disk and the links are shared with the log. Default 2. */
  readonly sendsMax?: number;
  /** A transfer that does not move for this long has failed. Default 30 s. */
  readonly stallMs?: number;
};

export type SnapshotTransferEvents = {
  /** The transfer to `node` ended. */
  onSent(node: NodeId, ok: boolean): void;
  /** The bytes are durable, or known: `message` may be stepped. */
  onReceived(message: Message): void;
  /** What to do with a snapshot at `meta`: take it, say that it is known, or refuse it for now. */
  verdict(meta: SnapshotMeta): SnapshotVerdict;
};

/** `known`: what it holds is applied already. */
export type SnapshotVerdict = 'wanted' | 'known' | 'busy';

type SnapshotMessage = Extract<Message, { readonly type: 'snapshot' }>;

const FRAME_CHUNK = 1;
const FRAME_END = 2;
const packr = new Packr({ useRecords: false });

/** Sends and receives. */
export class SnapshotTransfer {
  readonly #components: SnapshotTransferComponents;
  readonly #events: SnapshotTransferEvents;
  readonly #sendsMax: number;
  readonly #stallMs: number;
  readonly #sending = new Map<NodeId, SnapshotMeta | undefined>();
  readonly #ending = new AbortController();
  #receiving = false;

  constructor(
    components: SnapshotTransferComponents,
    events: SnapshotTransferEvents,
    options: SnapshotTransferOptions = {},
  ) {
    this.#components = components;
    this.#events = events;
    this.#sendsMax = options.sendsMax ?? 2;
    this.#stallMs = options.stallMs ?? 30_000;
    components.mesh.handle(SNAPSHOT_PROTOCOL, (stream) => void this.#receive(stream));
  }

  /** Oldest index being sent: entries behind it will be wanted next. */
  get oldestSending(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const meta of this.#sending.values()) oldest = Math.min(oldest, meta?.index ?? 0);
    return oldest;
  }

  /** Sends the newest snapshot to whom `message` is for. */
  send(message: SnapshotMessage): void {
    const node = message.to;
    if (this.#sending.has(node)) return;
    if (this.#sending.size >= this.#sendsMax) {
      // Reported in a later turn: the core is in the middle of handing out its messages.
      queueMicrotask(() => this.#events.onSent(node, false));
      return;
    }
    this.#sending.set(node, undefined);
    void this.#send(node, message.term);
  }

  stop(): void {
    this.#ending.abort();
  }

  async #send(node: NodeId, term: Term): Promise<void> {
    const { logger, clock } = this.#components;
    const startMs = clock.monotonicMs();
    let ok = false;
    try {
      const meta = await this.#stream(node, term);
      ok = true;
      const ms = Math.round(clock.monotonicMs() - startMs);
      logger.info({ peer: node, index: meta.index, ms }, 'a snapshot was sent');
    } catch (error) {
      logger.warn({ peer: node, reason: messageOf(error) }, 'sending a snapshot failed');
    } finally {
      this.#sending.delete(node);
    }
    if (!this.#ending.signal.aborted) this.#events.onSent(node, ok);
  }

  async #stream(node: NodeId, term: Term): Promise<SnapshotMeta> {
    const { mesh, storage } = this.#components;
    const snapshot = await storage.readSnapshot();
    if (snapshot === undefined) throw new SkeinError('data-damaged', 'there is no snapshot');
    this.#sending.set(node, snapshot.meta);
    let stream: MeshStream | undefined;
    try {
      stream = await mesh.openStream(node, SNAPSHOT_PROTOCOL, {
        deadlineMs: this.#stallMs,
        signal: this.#ending.signal,
      });
      const { send, next, arrival } = this.#bounded(stream);
      // Whoever has the snapshot already, or cannot take it, answers before the last byte.
      const early = arrival();
      const isAnswered = early.then(() => true);
      isAnswered.catch(() => {});
      await send(packr.pack([term, snapshot.meta, snapshot.size]));
      let checksum = 0;
      let answered = false;
      for await (const chunk of snapshot.chunks()) {
        checksum = crc32c(chunk, checksum);
        const frame = Buffer.concat([Buffer.of(FRAME_CHUNK), chunk]);
        answered = await Promise.race([isAnswered, send(frame).then(() => false)]);
        if (answered) break;
      }
      if (!answered) {
        const end = Buffer.of(FRAME_END, 0, 0, 0, 0);
        end.writeUInt32LE(checksum, 1);
        await send(end);
        await stream.closeWrite();
      }
      const [ok, reason] = asList(packr.unpack(await next(early)));
      if (ok !== true) throw new SkeinError('stream-closed', `refused: ${String(reason)}`);
      return snapshot.meta;
    } finally {
      stream?.abort();
      await snapshot.release();
    }
  }

  async #receive(stream: MeshStream): Promise<void> {
    const { logger } = this.#components;
    const { send, next } = this.#bounded(stream);
    try {
      if (this.#receiving) {
        await send(packr.pack([false, 'another snapshot is being received']));
        return;
      }
      this.#receiving = true;
      try {
        await this.#take(stream, next);
      } finally {
        this.#receiving = false;
      }
      await send(packr.pack([true, '']));
      await stream.closeWrite();
    } catch (error) {
      logger.warn({ peer: stream.peer, reason: messageOf(error) }, 'receiving a snapshot failed');
      await send(packr.pack([false, messageOf(error)])).catch(() => {});
      stream.abort();
    }
  }

  async #take(stream: MeshStream, next: () => Promise<Uint8Array>): Promise<void> {
    const { mesh, storage, logger } = this.#components;
    const [rawTerm, rawMeta, size] = asList(packr.unpack(await next()));
    const meta = decodeSnapshotMeta(rawMeta);
    if (meta === undefined || !Number.isSafeInteger(rawTerm) || !Number.isSafeInteger(size)) {
      throw malformed('the header cannot be read');
    }
    const envelope = { from: stream.peer, to: mesh.self, term: asTerm(rawTerm as number) };
    const verdict = this.#events.verdict(meta);
    if (verdict === 'busy') throw malformed('another snapshot is being installed');
    if (verdict === 'known') {
      // Refused, it would be sent for ever: 1. a snapshot is installed; 2. the acknowledgement and the answer
      // are lost; 3. the leader probes where its log does not reach any more.
      this.#events.onReceived({ type: 'snapshot', ...envelope, snapshot: meta });
      return;
    }
    logger.info({ peer: stream.peer, index: meta.index, bytes: size }, 'receiving a snapshot');
    const writer = await storage.writeSnapshot(meta);
    try {
      let received = 0;
      let checksum = 0;
      for (;;) {
        const frame = Buffer.from(await next());
        if (frame[0] === FRAME_END && frame.length === 5) {
          if (received !== size) throw malformed(`${received} of ${String(size)} bytes arrived`);
          if (frame.readUInt32LE(1) !== checksum) throw malformed('the checksum does not match');
          break;
        }
        if (frame[0] !== FRAME_CHUNK) throw malformed('a frame of an unknown kind arrived');
        const chunk = frame.subarray(1);
        received += chunk.length;
        if (received > (size as number)) throw malformed('more bytes arrived than were announced');
        checksum = crc32c(chunk, checksum);
        await writer.write(chunk);
      }
      await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    const newest = await this.#newestStored();
    if (this.#ending.signal.aborted) return;
    this.#events.onReceived({ type: 'snapshot', ...envelope, snapshot: newest ?? meta });
  }

  /** What an install would read: a newer one may be there, whose message came too late to be heard. */
  async #newestStored(): Promise<SnapshotMeta | undefined> {
    const reader = await this.#components.storage.readSnapshot();
    await reader?.release();
    return reader?.meta;
  }

  /** Reads and writes that fail when the other side does not move. */
  #bounded(stream: MeshStream) {
    const frames = stream.frames[Symbol.asyncIterator]();
    const options = {
      deadlineMs: this.#stallMs,
      clock: this.#components.clock,
      what: `a snapshot's transfer with ${stream.peer}`,
      signal: this.#ending.signal,
    };
    const arrival = async () => {
      const frame = await frames.next();
      if (frame.done === true) throw malformed('the stream ended early');
      return frame.value;
    };
    return {
      send: (frame: Uint8Array) => withDeadline(() => stream.send(frame), options),
      /** The next frame, whenever it comes. */
      arrival,
      next: (arriving?: Promise<Uint8Array>) => withDeadline(() => arriving ?? arrival(), options),
    };
  }
}

function asList(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed('a list was expected');
  return value;
}

function malformed(why: string): SkeinError {
  return new SkeinError('stream-closed', why);
}
