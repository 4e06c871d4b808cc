/** Snapshots between members: who is sent one, how many at a time, and how much of the log they hold back. */

import type { Message, NodeId, ProgressStatus, SnapshotMeta, Term } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import type { Mesh } from '../mesh/types.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { SNAPSHOT_PROTOCOL } from './snapshot-wire.ts';
import type { Storage } from './storage.ts';
import { TransferProgress } from './transfer-progress.ts';

export type SnapshotTransferComponents = {
  readonly mesh: Mesh;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics?: Registry;
};

export type SnapshotTransferOptions = {
  /** Most snapshots sent at once; the disk and the links are shared with the log. Default 2. */
  readonly sendsMax?: number;
  /** A stream that does not move for this long has failed. Default 30 s. */
  readonly stallMs?: number;
  /** Most streams for one transfer: each goes on where the one before broke off. Default 6. */
  readonly attemptsMax?: number;
  /** How long the log that a member needs after its snapshot is kept for it, while it answers. Default 5 minutes. */
  readonly catchUpMs?: number;
};

export type SnapshotTransferEvents = {
  /** The transfer to `node` ended. */
  onSent(node: NodeId, ok: boolean): void;
  /** The bytes are durable, or known: `message` may be stepped. */
  onReceived(message: Message): void;
  /** What to do with a snapshot at `meta`: take it, say that it is known, or refuse it for now. */
  verdict(meta: SnapshotMeta): SnapshotVerdict;
  /** What we know of `node` as its leader; undefined when we are not. */
  progressOf(node: NodeId): ProgressStatus | undefined;
  /** The last index of our log. */
  lastIndex(): number;
};

/** `known`: what it holds is applied already. */
export type SnapshotVerdict = 'wanted' | 'known' | 'busy';

type SnapshotMessage = Extract<Message, { readonly type: 'snapshot' }>;
/** Who lacks no more than this has caught up: the rest is on its way. */
const CAUGHT_UP_ENTRIES = 64;

/** Sends and receives. */
export class SnapshotTransfer {
  readonly #components: SnapshotTransferComponents;
  readonly #events: SnapshotTransferEvents;
  readonly #sendsMax: number;
  readonly #catchUpMs: number;
  readonly #sender: SnapshotSender;
  readonly #sending = new Map<NodeId, SnapshotMeta | undefined>();
  /** Members that have their snapshot and not yet the log behind it, and when they are waited for no longer. */
  readonly #catchingUp = new Map<NodeId, number>();
  readonly #ending = new AbortController();

  constructor(
    components: SnapshotTransferComponents,
    events: SnapshotTransferEvents,
    options: SnapshotTransferOptions = {},
  ) {
    const { clock, logger, metrics, mesh } = components;
    const { sendsMax = 2, stallMs = 30_000, attemptsMax = 6, catchUpMs = 300_000 } = options;
    this.#components = components;
    this.#events = events;
    this.#sendsMax = sendsMax;
    this.#catchUpMs = catchUpMs;
    const progress = new TransferProgress(clock, logger, metrics);
    const bounds = { stallMs, clock, signal: this.#ending.signal };
    const isActive = (node: NodeId) => events.progressOf(node)?.recentlyActive === true;
    this.#sender = new SnapshotSender(components, { ...bounds, attemptsMax, isActive }, progress);
    const receiver = new SnapshotReceiver(components, events, bounds, progress);
    mesh.handle(SNAPSHOT_PROTOCOL, (stream) => void receiver.receive(stream));
  }

  /**
   * Entries behind this index are wanted next: by whom a snapshot is being sent, and by whom one was sent and who
   * has not caught up. Without the latter, a log that grew while a slow transfer ran would be cut as soon as it ends, and the
   * member would need another snapshot, and another.
   */
  get oldestWanted(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const meta of this.#sending.values()) oldest = Math.min(oldest, meta?.index ?? 0);
    const caughtUp = this.#events.lastIndex() - CAUGHT_UP_ENTRIES;
    for (const [node, untilMs] of this.#catchingUp) {
      const progress = this.#events.progressOf(node);
      const late = this.#components.clock.monotonicMs() > untilMs;
      if (progress?.recentlyActive && progress.match < caughtUp && !late) {
        oldest = Math.min(oldest, progress.match);
      } else this.#catchingUp.delete(node);
    }
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
      const meta = await this.#sender.send(node, term, (chosen) => this.#sending.set(node, chosen));
      ok = true;
      const ms = Math.round(clock.monotonicMs() - startMs);
      logger.info({ peer: node, index: meta.index, ms }, 'a snapshot was sent');
      this.#catchingUp.set(node, clock.monotonicMs() + this.#catchUpMs);
    } catch (error) {
      logger.warn({ peer: node, reason: messageOf(error) }, 'sending a snapshot failed');
    } finally {
      this.#sending.delete(node);
    }
    if (!this.#ending.signal.aborted) this.#events.onSent(node, ok);
  }
}
