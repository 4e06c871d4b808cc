/**
 * The sending end of snapshots: a stream of its own per transfer, so that raft's messages overtake it. A stream that
 * breaks is followed by another that goes on where the receiver is, a few times, as long as the receiver answers.
 */

import type { NodeId, SnapshotMeta, Term } from '../../raft/types.ts';
import { sleep, withDeadline } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import { crc32c } from '../lib/crc32c.ts';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import type { MeshStream } from '../mesh/types.ts';
import type { SnapshotTransferComponents } from './snapshot-transfer.ts';
import {
  type BoundedOptions,
  bounded,
  decodeAnswer,
  encodeChunk,
  encodeEnd,
  encodeHeader,
  SNAPSHOT_PROTOCOL,
  type SnapshotAnswer,
} from './snapshot-wire.ts';
import type { SnapshotReader } from './storage.ts';
import type { TransferProgress } from './transfer-progress.ts';

export type SenderOptions = BoundedOptions & {
  /** Streams opened for one transfer. */
  readonly attemptsMax: number;
  /** True while the receiver answers this leader: nobody else is sent a snapshot. */
  readonly isActive: (node: NodeId) => boolean;
};

type Pouring = {
  readonly from: number;
  /** The other side's answer. */
  readonly early: Promise<Uint8Array>;
  readonly send: (frame: Uint8Array) => Promise<void>;
  readonly stream: MeshStream;
};

const RETRY = { initialMs: 100, maxMs: 2_000 };
/** A snapshot of at least this size is worth asking how much of it is there already. */
const ASK_BYTES_MIN = 1024 * 1024;
/** Who has not answered by then is of the first release, which cannot. */
const ASK_MS = 3_000;

export class SnapshotSender {
  readonly #components: SnapshotTransferComponents;
  readonly #options: SenderOptions;
  readonly #progress: TransferProgress;

  constructor(
    components: SnapshotTransferComponents,
    options: SenderOptions,
    progress: TransferProgress,
  ) {
    this.#components = components;
    this.#options = options;
    this.#progress = progress;
  }

  /** Sends the newest snapshot to `node`; `onChosen` hears which. Resolves with it when it is there, rejects otherwise. */
  async send(
    node: NodeId,
    term: Term,
    onChosen: (meta: SnapshotMeta) => void,
  ): Promise<SnapshotMeta> {
    const snapshot = await this.#components.storage.readSnapshot();
    if (snapshot === undefined) throw new SkeinError('data-damaged', 'there is no snapshot');
    onChosen(snapshot.meta);
    try {
      await this.#untilThere(node, term, snapshot);
      return snapshot.meta;
    } finally {
      await snapshot.release();
    }
  }

  async #untilThere(node: NodeId, term: Term, snapshot: SnapshotReader): Promise<void> {
    const { logger, clock, random } = this.#components;
    const { attemptsMax, isActive, signal } = this.#options;
    let asks = snapshot.checksum !== undefined && snapshot.size >= ASK_BYTES_MIN;
    let from = asks ? undefined : 0;
    for (let failures = 0; ; ) {
      let answer: SnapshotAnswer | 'silence';
      try {
        answer = await this.#stream(node, { term, from }, snapshot);
      } catch (error) {
        if (++failures >= attemptsMax || signal.aborted) throw error;
        const waitMs = backoffMs(failures - 1, random, RETRY);
        const reason = messageOf(error);
        logger.info({ peer: node, failures, reason }, 'a snapshot goes on later');
        await sleep(waitMs, clock, signal);
        if (!isActive(node)) throw error;
        from = asks ? undefined : 0;
        continue;
      }
      if (answer === 'silence') {
        asks = false;
        from = 0;
      } else if (answer.kind === 'done') return;
      else if (answer.kind === 'refused') {
        throw new SkeinError('stream-closed', `refused: ${answer.reason}`);
      } else {
        // Told where to go on without a question: it has lost what it had, or had more than nothing.
        if (from !== undefined && ++failures >= attemptsMax) {
          throw new SkeinError('stream-closed', 'too many attempts');
        }
        from = Math.min(answer.offset, snapshot.size);
        if (from > 0) logger.info({ peer: node, from, size: snapshot.size }, 'a snapshot goes on');
      }
    }
  }

  async #stream(
    node: NodeId,
    { term, from }: { readonly term: Term; readonly from: number | undefined },
    snapshot: SnapshotReader,
  ): Promise<SnapshotAnswer | 'silence'> {
    const { stallMs, signal } = this.#options;
    const { meta, size, checksum } = snapshot;
    const options = { deadlineMs: stallMs, signal };
    const stream = await this.#components.mesh.openStream(node, SNAPSHOT_PROTOCOL, options);
    try {
      const wire = bounded(stream, this.#options);
      // Whoever has the snapshot already, or a part of it, or cannot take it, answers before the last byte.
      const early = wire.arrival();
      early.catch(() => {});
      await wire.send(encodeHeader({ term, meta, size, checksum, from }));
      if (from === undefined) return await this.#answerTo(early);
      await this.#pour(node, { from, early, send: wire.send, stream }, snapshot);
      return decodeAnswer(await wire.next(early));
    } finally {
      stream.abort();
    }
  }

  /** The answer to a question. */
  async #answerTo(early: Promise<Uint8Array>): Promise<SnapshotAnswer | 'silence'> {
    const { clock, signal } = this.#options;
    const options = { deadlineMs: ASK_MS, clock, signal, what: 'an answer' };
    const frame = await withDeadline(() => early, options).catch((error: unknown) => {
      if (hasCode(error, 'deadline-exceeded')) return undefined;
      throw error;
    });
    return frame === undefined ? 'silence' : decodeAnswer(frame);
  }

  /** Sends the bytes from `from` on, until all are sent or the other side has answered. */
  async #pour(
    node: NodeId,
    { from, early, send, stream }: Pouring,
    snapshot: SnapshotReader,
  ): Promise<void> {
    const progress = this.#progress.begin('sending', node, snapshot.size, from);
    const isAnswered = early.then(() => true);
    isAnswered.catch(() => {});
    try {
      let sum = 0;
      for await (const chunk of snapshot.chunks(from)) {
        sum = crc32c(chunk, sum);
        const sending = send(encodeChunk(chunk)).then(() => false);
        if (await Promise.race([isAnswered, sending])) return;
        progress.moved(chunk.length);
      }
      await send(encodeEnd(sum));
      await stream.closeWrite();
    } finally {
      progress.end();
    }
  }
}
