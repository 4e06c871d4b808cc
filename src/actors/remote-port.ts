/** What actors need of the mesh: streams of frames to other nodes, and who comes and goes. */

export interface RemoteStream {
  readonly peer: string;
  send(frame: Uint8Array): Promise<void>;
  readonly frames: AsyncIterable<Uint8Array>;
  abort(reason?: Error): void;
  readonly closed: AbortSignal;
}

/** A part of the mesh's interface; the mesh fits as it is. */
export interface RemotePort {
  readonly self: string;
  handle(protocol: string, handler: (stream: RemoteStream) => void | Promise<void>): void;
  openStream(
    peer: string,
    protocol: string,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<RemoteStream>;
  onPeer(
    listener: (event: {
      readonly kind: 'connected' | 'disconnected';
      readonly peer: string;
    }) => void,
  ): () => void;
}
