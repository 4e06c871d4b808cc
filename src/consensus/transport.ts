/**
 * Raft messages over the mesh: one long-lived stream to each peer, batches of messages as frames, bounded queues.
 * Raft survives the loss of any message, so what cannot be sent now is dropped and the core told that
 * the peer is out of reach; it probes until the peer answers again. And it survives any delay: what nobody waits for lingers
 * until there is something else to say.
 */

import type { Message, NodeId } from '../../raft/types.ts';
import { backoffMs } from '../lib/backoff.ts';
import { BoundedQueue } from '../lib/bounded-queue.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { Mesh, MeshStream } from '../mesh/types.ts';
import { decodeMessages, encodeMessages } from './message-codec.ts';

/** The protocol of raft's own messages. */
export const RAFT_PROTOCOL = '/skein/raft/1';

export type TransportComponents = {
  readonly mesh: Mesh;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

export type TransportOptions = {
  /** Most messages waiting for one peer. Default 4096. */
  readonly queueMessagesMax?: number;
  /** Most entry bytes waiting for one peer. Default 16 MiB. */
  readonly queueBytesMax?: number;
  /** Most entry bytes in one frame; a larger message goes alone. Default 512 KiB. */
  readonly frameBytesMax?: number;
  /** Longest wait for a stream. Default 2 s. */
  readonly connectDeadlineMs?: number;
  /** Longest pause between attempts to connect. Default 1 s. */
  readonly reconnectMaxMs?: number;
  /** How long what is no news to act on waits for company. Default 5 ms. */
  readonly lingerMs?: number;
};

/** What the transport tells the driver. */
export type TransportEvents = {
  /** A validated message from a peer. */
  onMessage(message: Message): void;
  /** Messages to `peer` were dropped. */
  onUnreachable(peer: NodeId): void;
};

type AppendResponse = Extract<Message, { type: 'append-response' }>;

/** Sends to any peer and receives from all. */
export class Transport {
  readonly #components: TransportComponents;
  readonly #options: Required<TransportOptions>;
  readonly #events: TransportEvents;
  readonly #channels = new Map<NodeId, Channel>();
  readonly #inbound = new Set<MeshStream>();
  #stopped = false;

  constructor(
    components: TransportComponents,
    events: TransportEvents,
    options: TransportOptions = {},
  ) {
    this.#components = components;
    this.#events = events;
    this.#options = {
      queueMessagesMax: 4096,
      queueBytesMax: 16 * 1024 * 1024,
      frameBytesMax: 512 * 1024,
      connectDeadlineMs: 2_000,
      reconnectMaxMs: 1_000,
      lingerMs: 5,
      ...options,
    };
    components.mesh.handle(RAFT_PROTOCOL, (stream) => void this.#receive(stream));
  }

  /** Queues a message; never waits. */
  send(message: Message): void {
    if (this.#stopped) return;
    let channel = this.#channels.get(message.to);
    if (channel === undefined) {
      channel = new Channel(message.to, this.#components, this.#events, this.#options);
      this.#channels.set(message.to, channel);
    }
    channel.send(message);
  }

  /** `peer` waits for what we know: whatever lingers leaves now. */
  hurry(peer: NodeId): void {
    this.#channels.get(peer)?.hurry();
  }

  /** The mesh has a connection to `peer` again: no reason to wait any longer. */
  connected(peer: NodeId): void {
    this.#channels.get(peer)?.retryNow();
  }

  /** Lets go of everybody who is not a member any more. */
  keepOnly(members: ReadonlySet<NodeId>): void {
    for (const [peer, channel] of this.#channels) {
      if (members.has(peer)) continue;
      channel.stop();
      this.#channels.delete(peer);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const channel of this.#channels.values()) channel.stop();
    for (const stream of this.#inbound) stream.abort();
  }

  async #receive(stream: MeshStream): Promise<void> {
    if (this.#stopped) return stream.abort();
    const { mesh, logger } = this.#components;
    this.#inbound.add(stream);
    try {
      for await (const frame of stream.frames) {
        const messages = decodeMessages(frame, stream.peer, mesh.self);
        if (typeof messages === 'string') {
          logger.warn({ peer: stream.peer, reason: messages }, 'refused a malformed raft frame');
          stream.abort();
          return;
        }
        for (const message of messages) {
          // Snapshots come by their own protocol, behind their bytes: one without them would end the process.
          if (message.type === 'snapshot') {
            logger.warn({ peer: stream.peer }, 'refused a snapshot message without its bytes');
          } else if (!this.#stopped) this.#events.onMessage(message);
        }
      }
    } catch (error) {
      logger.debug({ peer: stream.peer, reason: messageOf(error) }, 'a raft stream ended');
    } finally {
      this.#inbound.delete(stream);
    }
  }
}

/** The outbound half of one peer. */
class Channel {
  readonly #peer: NodeId;
  readonly #components: TransportComponents;
  readonly #events: TransportEvents;
  readonly #options: Required<TransportOptions>;
  readonly #queue: BoundedQueue<Message>;
  readonly #ending = new AbortController();
  #queuedBytes = 0;
  #stream: MeshStream | undefined;
  #sending = false;
  #failures = 0;
  #pause: Timer | undefined;
  /** What waits for company, the newest of its kind. */
  readonly #lingering = new Map<Message['type'], Message>();
  #linger: Timer | undefined;
  /** The newest acknowledgement that was sent on this stream. */
  #acknowledged: AppendResponse | undefined;

  constructor(
    peer: NodeId,
    components: TransportComponents,
    events: TransportEvents,
    options: Required<TransportOptions>,
  ) {
    this.#peer = peer;
    this.#components = components;
    this.#events = events;
    this.#options = options;
    this.#queue = new BoundedQueue(options.queueMessagesMax);
  }

  send(message: Message): void {
    const bytes = entryBytes(message);
    const full =
      this.#queue.full ||
      (this.#queue.length > 0 && this.#queuedBytes + bytes > this.#options.queueBytesMax);
    if (full || this.#pause !== undefined) {
      this.#events.onUnreachable(this.#peer);
      return;
    }
    if (this.#mayLinger(message)) {
      this.#lingering.set(message.type, message);
      this.#linger ??= this.#components.clock.after(this.#options.lingerMs, () => this.hurry());
      return;
    }
    // A newer message of the kind says what the older one did.
    if (message.type !== 'append-response' || !message.reject) this.#lingering.delete(message.type);
    if (message.type === 'append-response' && !message.reject) this.#acknowledged = message;
    this.#queue.push(message);
    this.#queuedBytes += bytes;
    if (!this.#sending) void this.#drain();
  }

  hurry(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
    if (this.#lingering.size > 0 && !this.#sending) void this.#drain();
  }

  retryNow(): void {
    this.#pause?.cancel();
    this.#pause = undefined;
    this.#failures = 0;
  }

  stop(): void {
    this.#ending.abort();
    this.#pause?.cancel();
    this.#linger?.cancel();
    this.#lingering.clear();
    this.#queue.drain();
    this.#stream?.abort();
  }

  /**
   * A packet for itself is too much for a commit index that nobody waits for, or for an acknowledgement of what was
   * acknowledged: in a busy group the next message takes them along a moment later, or replaces them.
   */
  #mayLinger(message: Message): boolean {
    if (message.type === 'append') return message.entries.length === 0;
    if (message.type !== 'append-response' || message.reject) return false;
    const { term = 0, index = 0 } = this.#acknowledged ?? {};
    return message.term === term && message.index <= index;
  }

  async #drain(): Promise<void> {
    this.#sending = true;
    try {
      // What the core emits in this turn of the loop shares a frame.
      await Promise.resolve();
      while (this.#queue.length + this.#lingering.size > 0 && !this.#ending.signal.aborted) {
        const stream = await this.#connect();
        const batch = this.#takeBatch();
        if (batch.length === 0) break;
        await stream.send(encodeMessages(batch));
        this.#failures = 0;
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#sending = false;
    }
  }

  async #connect(): Promise<MeshStream> {
    if (this.#stream !== undefined && !this.#stream.closed.aborted) return this.#stream;
    this.#stream = await this.#components.mesh.openStream(this.#peer, RAFT_PROTOCOL, {
      deadlineMs: this.#options.connectDeadlineMs,
      signal: this.#ending.signal,
    });
    if (this.#ending.signal.aborted) this.#stream.abort();
    return this.#stream;
  }

  #takeBatch(): Message[] {
    const batch: Message[] = [...this.#lingering.values()];
    this.#lingering.clear();
    this.#linger?.cancel();
    this.#linger = undefined;
    let bytes = 0;
    while (bytes < this.#options.frameBytesMax) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      batch.push(message);
      bytes += entryBytes(message);
    }
    this.#queuedBytes -= bytes;
    return batch;
  }

  /** Whatever waits is stale by the time the peer is back. */
  #fail(error: unknown): void {
    if (this.#ending.signal.aborted) return;
    const { clock, random, logger } = this.#components;
    this.#stream?.abort();
    this.#stream = undefined;
    this.#queue.drain();
    this.#queuedBytes = 0;
    this.#lingering.clear();
    this.#acknowledged = undefined;
    const waitMs = backoffMs(this.#failures++, random, {
      initialMs: 20,
      maxMs: this.#options.reconnectMaxMs,
    });
    logger.debug({ peer: this.#peer, reason: messageOf(error), waitMs }, 'a peer is out of reach');
    this.#pause = clock.after(waitMs, () => {
      this.#pause = undefined;
    });
    this.#events.onUnreachable(this.#peer);
  }
}

/** What a message weighs in a queue; everything but entries is small. */
function entryBytes(message: Message): number {
  if (message.type !== 'append') return 64;
  return message.entries.reduce((sum, entry) => sum + entry.data.length + 32, 64);
}
