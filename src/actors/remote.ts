/**
 * Actors of other nodes: messages, answers and death watch over one stream per peer and direction.
 * Delivery is at most once and in order while a stream lives. Who watches is told when the actor
 * stops and when its node is out of reach; a stream that broke while the peer stayed connected is
 * opened again, with the watches.
 */

import type { Logger } from '../lib/logger.ts';
import type { AskFailure } from './asks.ts';
import { nodeOf } from './path.ts';
import type { Postman } from './refs.ts';
import {
  ACTOR_PROTOCOL,
  type OutboxOptions,
  type Outgoing,
  RemoteOutbox,
} from './remote-outbox.ts';
import type { RemotePort, RemoteStream } from './remote-port.ts';
import { decodeFrame, encodeFrame, type RemoteFrame } from './remote-wire.ts';
import type { TellOutcome } from './types.ts';

/** The local system, as the remote side uses it. */
export interface LocalSystem extends Postman {
  /** Fails a question of ours. */
  failAsk(replyId: number, reason: AskFailure): void;
  failAsksTo(node: string): void;
  watchLocal(path: string, onDeath: () => void): () => void;
  deadLetter(path: string, message: unknown): void;
}

type Watch = { readonly peer: string; readonly path: string; readonly onDeath: () => void };

export class Remote {
  readonly #port: RemotePort;
  readonly #local: LocalSystem;
  readonly #log: Logger;
  readonly #outboxOptions: OutboxOptions;
  readonly #outboxes = new Map<string, RemoteOutbox>();
  readonly #watches = new Map<number, Watch>();
  readonly #unsubscribe: () => void;
  #nextWatch = 1;
  #stopped = false;

  constructor(port: RemotePort, local: LocalSystem, log: Logger, options: OutboxOptions = {}) {
    this.#port = port;
    this.#local = local;
    this.#log = log;
    this.#outboxOptions = options;
    port.handle(ACTOR_PROTOCOL, (stream) => this.#receive(stream));
    this.#unsubscribe = port.onPeer(({ kind, peer }) => {
      if (kind === 'disconnected') this.#lost(peer);
    });
  }

  /** Hands a message to the stream of its node. */
  tell(path: string, message: unknown, replyId?: number): TellOutcome {
    const onLost = () => {
      this.#local.deadLetter(path, message);
      if (replyId !== undefined) this.#local.failAsk(replyId, 'unreachable');
    };
    if (this.#post(nodeOf(path), { kind: 'tell', path, message, replyId }, onLost)) return 'queued';
    this.#local.deadLetter(path, message);
    return 'rejected';
  }

  /** Calls `onDeath` once when the actor stops, does not exist, or its node is out of reach. */
  watch(path: string, onDeath: () => void): () => void {
    const peer = nodeOf(path);
    const watchId = this.#nextWatch++;
    this.#watches.set(watchId, { peer, path, onDeath });
    this.#sendWatch(watchId, peer, path);
    return () => {
      if (this.#watches.delete(watchId)) this.#post(peer, { kind: 'unwatch', watchId }, () => {});
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const outbox of this.#outboxes.values()) outbox.stop();
    this.#outboxes.clear();
    this.#watches.clear();
  }

  #sendWatch(watchId: number, peer: string, path: string): void {
    const onLost = () => queueMicrotask(() => this.#terminated(watchId));
    if (!this.#post(peer, { kind: 'watch', watchId, path }, onLost)) onLost();
  }

  #post(peer: string, frame: RemoteFrame, onLost: Outgoing['onLost']): boolean {
    if (this.#stopped) return false;
    let bytes: Uint8Array;
    try {
      bytes = encodeFrame(frame);
    } catch (error) {
      this.#log.error({ peer, kind: frame.kind, error }, 'a message cannot be encoded');
      return false;
    }
    let outbox = this.#outboxes.get(peer);
    if (outbox === undefined) {
      const events = {
        onBroken: () => this.#broken(peer),
        onUnreachable: () => this.#lost(peer),
      };
      outbox = new RemoteOutbox(this.#port, peer, events, this.#outboxOptions);
      this.#outboxes.set(peer, outbox);
    }
    return outbox.post({ bytes, onLost });
  }

  /** Our stream broke: the other side has forgotten our watches, and asks in flight may be lost. */
  #broken(peer: string): void {
    for (const [watchId, watch] of [...this.#watches]) {
      if (watch.peer === peer) this.#sendWatch(watchId, peer, watch.path);
    }
  }

  #lost(peer: string): void {
    this.#outboxes.get(peer)?.stop();
    this.#outboxes.delete(peer);
    this.#local.failAsksTo(peer);
    for (const [watchId, watch] of [...this.#watches]) {
      if (watch.peer === peer) this.#terminated(watchId);
    }
  }

  #terminated(watchId: number): void {
    const watch = this.#watches.get(watchId);
    if (watch === undefined) return;
    this.#watches.delete(watchId);
    watch.onDeath();
  }

  async #receive(stream: RemoteStream): Promise<void> {
    const watched = new Map<number, () => void>();
    try {
      for await (const bytes of stream.frames) {
        this.#take(decodeFrame(bytes, this.#local), stream.peer, watched);
      }
    } catch (error) {
      this.#log.debug({ peer: stream.peer, error }, 'an actor stream broke');
      stream.abort(error instanceof Error ? error : undefined);
    } finally {
      for (const unwatch of watched.values()) unwatch();
    }
  }

  #take(frame: RemoteFrame, from: string, watched: Map<number, () => void>): void {
    switch (frame.kind) {
      case 'tell': {
        const outcome = this.#local.deliver(frame.path, frame.message);
        const { replyId } = frame;
        if (replyId === undefined || outcome === 'queued' || outcome === 'coalesced') return;
        this.#post(from, { kind: 'ask-failed', replyId, reason: outcome }, () => {});
        return;
      }
      case 'ask-failed':
        this.#local.failAsk(frame.replyId, frame.reason);
        return;
      case 'watch': {
        const { watchId, path } = frame;
        watched.get(watchId)?.();
        const unwatch = this.#local.watchLocal(path, () => {
          watched.delete(watchId);
          this.#post(from, { kind: 'terminated', watchId }, () => {});
        });
        watched.set(watchId, unwatch);
        return;
      }
      case 'unwatch':
        watched.get(frame.watchId)?.();
        watched.delete(frame.watchId);
        return;
      case 'terminated':
        this.#terminated(frame.watchId);
        return;
    }
  }
}
