/** Both ends of a stream of frames over the simulated wires. */

import type { NodeId } from '../../../raft/types.ts';
import type { MeshStream } from '../../../src/mesh/types.ts';
import type { World } from '../world/world.ts';
import type { SimNetwork } from './network.ts';

/** One process, as far as a stream has to know it. */
export type StreamOwner = {
  readonly self: NodeId;
  /** Runs `action` in a turn of the process, unless it has ended. */
  turn(action: () => void): void;
  /** A frame leaves, as the process believes. */
  sends(stream: MeshStream, frame: Uint8Array): void;
  /** A frame is about to be read. */
  receives(stream: MeshStream, frame: Uint8Array): void;
};

export type StreamComponents = {
  readonly world: World;
  readonly network: SimNetwork;
  readonly protocol: string;
  /** True: frames may be lost, repeated and overtaken. */
  readonly datagram: boolean;
};

/** One end. */
export class SimStream implements MeshStream {
  readonly peer: NodeId;
  readonly protocol: string;
  readonly closed: AbortSignal;
  readonly #ending = new AbortController();
  readonly #owner: StreamOwner;
  readonly #components: StreamComponents;
  #other: SimStream | undefined;
  #inbox: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  #writers = new Set<(error: Error) => void>();

  private constructor(owner: StreamOwner, peer: NodeId, components: StreamComponents) {
    this.#owner = owner;
    this.peer = peer;
    this.protocol = components.protocol;
    this.#components = components;
    this.closed = this.#ending.signal;
  }

  /** Two ends that know each other. */
  static pair(left: StreamOwner, right: StreamOwner, components: StreamComponents) {
    const ours = new SimStream(left, right.self, components);
    const theirs = new SimStream(right, left.self, components);
    ours.#other = theirs;
    theirs.#other = ours;
    return [ours, theirs] as const;
  }

  send(frame: Uint8Array): Promise<void> {
    if (this.closed.aborted) return Promise.reject(this.#closedError());
    this.#owner.sends(this, frame);
    const waitMs = this.#carry(frame.length, (other) => {
      if (other.closed.aborted || other.#ended) return;
      other.#inbox.push(frame);
      other.#notify();
    });
    if (waitMs <= 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.add(reject);
      this.#components.world.after(waitMs, () => {
        if (!this.#writers.delete(reject)) return;
        this.#owner.turn(resolve);
      });
    });
  }

  get frames(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async closeWrite(): Promise<void> {
    this.#carry(0, (other) => {
      other.#ended = true;
      other.#notify();
    });
  }

  abort(): void {
    if (this.closed.aborted) return;
    this.#shut();
    // The other end hears of it if the wires let it.
    this.#carry(0, (other) => other.#shut());
  }

  /** The connection underneath is gone; nobody has to be told. */
  break(): void {
    this.#owner.turn(() => this.#shut());
  }

  #shut(): void {
    if (this.closed.aborted) return;
    this.#ending.abort();
    for (const reject of this.#writers) reject(this.#closedError());
    this.#writers.clear();
    this.#notify();
  }

  #carry(bytes: number, action: (other: SimStream) => void): number {
    const other = this.#other;
    if (other === undefined) return 0;
    const { network, datagram } = this.#components;
    return network.send({
      from: this.#owner.self,
      to: this.peer,
      bytes,
      datagram: datagram && bytes > 0,
      deliver: () => other.#owner.turn(() => action(other)),
      // A stream with a hole in it is no stream.
      broken: () => {
        if (datagram) return;
        this.break();
        other.break();
      },
    });
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const frame = this.#inbox.shift();
      if (frame !== undefined) {
        this.#owner.receives(this, frame);
        yield frame;
        continue;
      }
      if (this.closed.aborted) throw this.#closedError();
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #closedError(): Error {
    const { SkeinError } = this.#components.world.product;
    return new SkeinError('stream-closed', `the stream to ${this.peer} is closed`);
  }
}
