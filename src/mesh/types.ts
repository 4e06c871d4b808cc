/**
 * The mesh as the rest of the product sees it: authenticated peers, streams of frames with
 * backpressure, requests with deadlines, and gossip that may be lost or repeated.
 */
import type { NodeId } from '../../raft/types.ts';

/** A peer's id is its libp2p peer id in text form; the same string names it in raft. */
export type PeerId = NodeId;

/** A stream of frames. Frames arrive whole and in order. */
export interface MeshStream {
  readonly peer: PeerId;
  readonly protocol: string;
  /** Queues a frame; resolves when the stream can take another. Rejects with stream-closed. */
  send(frame: Uint8Array): Promise<void>;
  /** Ends when the other side has closed its writing half; throws stream-closed on a reset. */
  readonly frames: AsyncIterable<Uint8Array>;
  /** No more frames from us; the other half stays open. */
  closeWrite(): Promise<void>;
  abort(reason?: Error): void;
  /** Fires when the stream is over in both directions. */
  readonly closed: AbortSignal;
}

/** Both sides of a protocol must agree on them. */
export type StreamOptions = {
  /** Largest frame, either way. Default 4 MiB. */
  readonly frameBytesMax?: number;
};

/** Takes a stream a peer opened; a throw or rejection aborts it. */
export type StreamHandler = (stream: MeshStream) => void | Promise<void>;

export type RequestOptions = { readonly deadlineMs: number; readonly signal?: AbortSignal };

/** A handler gets the decoded body and returns the value to send back (msgpack-able), or throws SkeinError (its code travels). */
export type RequestHandler = (body: unknown, from: PeerId, signal: AbortSignal) => Promise<unknown>;

export type PeerEvent = { readonly kind: 'connected' | 'disconnected'; readonly peer: PeerId };

export type PeerInfo = {
  readonly peer: PeerId;
  readonly connected: boolean;
  readonly addresses: readonly string[];
};

export interface Mesh {
  readonly self: PeerId;
  /** Multiaddrs others can dial. */
  addresses(): readonly string[];
  /** Handles streams that peers open. Throws if the protocol already has a handler. */
  handle(protocol: string, handler: StreamHandler, options?: StreamOptions): void;
  openStream(
    peer: PeerId,
    protocol: string,
    options: RequestOptions & StreamOptions,
  ): Promise<MeshStream>;
  /** Serves requests named `method` (one long-lived multiplexed stream per peer underneath). */
  serve(method: string, handler: RequestHandler): void;
  request(peer: PeerId, method: string, body: unknown, options: RequestOptions): Promise<unknown>;
  publish(topic: string, data: Uint8Array): void;
  subscribe(topic: string, handler: (data: Uint8Array, from: PeerId) => void): () => void;
  /** Who may connect, with address hints. Replaces the former set; connections of others are cut at once. */
  admit(members: ReadonlyMap<PeerId, readonly string[]>): void;
  peers(): readonly PeerInfo[];
  onPeer(listener: (event: PeerEvent) => void): () => void;
  stop(): Promise<void>;
}
