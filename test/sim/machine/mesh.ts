/** The mesh of one process, on simulated wires: streams, requests, and news of who is connected. */

import { Packr } from 'msgpackr';
import type { NodeId } from '../../../raft/types.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type {
  Mesh,
  MeshStream,
  PeerEvent,
  PeerInfo,
  RequestHandler,
  RequestOptions,
  StreamHandler,
} from '../../../src/mesh/types.ts';
import type { World } from '../world/world.ts';
import type { Connections } from './connections.ts';
import type { SimNetwork } from './network.ts';
import { SimStream, type StreamOwner } from './stream.ts';

export type SimMeshComponents = {
  readonly world: World;
  readonly network: SimNetwork;
  readonly connections: Connections;
  readonly clock: Clock;
  readonly owner: StreamOwner;
};

/** The protocol whose frames may be treated as datagrams. */
const DATAGRAMS = '/skein/raft/1';
const packr = new Packr({ useRecords: false });

export class SimMesh implements Mesh {
  readonly self: NodeId;
  readonly owner: StreamOwner;
  readonly #components: SimMeshComponents;
  readonly #handlers = new Map<string, StreamHandler>();
  readonly #services = new Map<string, RequestHandler>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  readonly #streams = new Set<SimStream>();
  readonly #requests = new Map<NodeId, Set<(error: Error) => void>>();

  constructor(components: SimMeshComponents) {
    this.#components = components;
    this.owner = components.owner;
    this.self = components.owner.self;
  }

  addresses(): readonly string[] {
    return [`/sim/${this.self}`];
  }

  handle(protocol: string, handler: StreamHandler): void {
    if (this.#handlers.has(protocol)) throw new Error(`${protocol} has a handler`);
    this.#handlers.set(protocol, handler);
  }

  openStream(peer: NodeId, protocol: string, options: RequestOptions): Promise<MeshStream> {
    const { world, network, connections } = this.#components;
    const what = `opening ${protocol} to ${peer}`;
    return this.#bounded(peer, options, what, (resolve, reject) => {
      const other = connections.mesh(peer);
      if (other === undefined || !connections.connected(this.self, peer)) {
        reject(this.#unreachable(peer));
        return;
      }
      const lost = (error: Error) => this.owner.turn(() => reject(error));
      const datagram = protocol === DATAGRAMS;
      const components = { world, network, protocol, datagram };
      const [ours, theirs] = SimStream.pair(this.owner, other.owner, components);
      const back = () => {
        this.#streams.add(ours);
        resolve(ours);
      };
      this.#carry(
        other,
        () => {
          other.#accept(theirs, protocol);
          other.#carry(this, back, lost);
        },
        lost,
      );
    });
  }

  serve(method: string, handler: RequestHandler): void {
    this.#services.set(method, handler);
  }

  request(peer: NodeId, method: string, body: unknown, options: RequestOptions): Promise<unknown> {
    const { connections } = this.#components;
    const packed = packr.pack(body);
    return this.#bounded(peer, options, `${method} to ${peer}`, (resolve, reject) => {
      const other = connections.mesh(peer);
      if (other === undefined || !connections.connected(this.self, peer)) {
        reject(this.#unreachable(peer));
        return;
      }
      // Whoever asked hears of it in a turn of its own, or never: the dead must not be woken.
      const lost = (error: Error) => this.owner.turn(() => reject(error));
      const answer = (value: unknown) => {
        const bytes = packr.pack(value);
        other.#carry(this, () => resolve(packr.unpack(bytes)), lost, bytes.length);
      };
      const refuse = (error: unknown) => other.#carry(this, () => reject(error), lost);
      const deliver = () =>
        other.#answer(method, packr.unpack(packed), this.self).then(answer, refuse);
      this.#carry(other, () => void deliver(), lost, packed.length);
    });
  }

  publish(): void {}

  subscribe(): () => void {
    return () => {};
  }

  admit(): void {}

  peers(): readonly PeerInfo[] {
    const { connections } = this.#components;
    return connections
      .names()
      .filter((peer) => peer !== this.self)
      .map((peer) => ({
        peer,
        connected: connections.connected(this.self, peer),
        addresses: [`/sim/${peer}`],
      }));
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {}

  /** There is a connection to `peer` now. */
  connected(peer: NodeId): void {
    this.owner.turn(() => this.#emit({ kind: 'connected', peer }));
  }

  /** The connection to `peer` broke, and everything on it. */
  disconnected(peer: NodeId): void {
    this.owner.turn(() => {
      for (const stream of this.#streams) {
        if (stream.peer !== peer) continue;
        stream.break();
        this.#streams.delete(stream);
      }
      for (const fail of this.#requests.get(peer) ?? []) fail(this.#unreachable(peer));
      this.#requests.delete(peer);
      this.#emit({ kind: 'disconnected', peer });
    });
  }

  #emit(event: PeerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #accept(stream: SimStream, protocol: string): void {
    const handler = this.#handlers.get(protocol);
    if (handler === undefined) {
      stream.abort();
      return;
    }
    this.#streams.add(stream);
    void Promise.resolve(handler(stream)).catch(() => stream.abort());
  }

  async #answer(method: string, body: unknown, from: NodeId): Promise<unknown> {
    const { SkeinError } = this.#components.world.product;
    const handler = this.#services.get(method);
    if (handler === undefined) throw new SkeinError('remote-failed', `${method} is not served`);
    return handler(body, from, new AbortController().signal);
  }

  /** Runs `action` in a turn of the other process; calls `lost`, in nobody's turn, if the wires lose it. */
  #carry(other: SimMesh, action: () => void, lost: (error: Error) => void, bytes = 32): void {
    this.#components.network.send({
      from: this.self,
      to: other.self,
      bytes,
      datagram: false,
      deliver: () => other.owner.turn(action),
      broken: () => lost(this.#unreachable(other.self)),
    });
  }

  #bounded<T>(
    peer: NodeId,
    options: RequestOptions,
    what: string,
    work: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
  ): Promise<T> {
    const { clock, world } = this.#components;
    const { SkeinError } = world.product;
    const { deadlineMs, signal } = options;
    return new Promise<T>((resolve, reject) => {
      let pending = this.#requests.get(peer);
      if (pending === undefined) {
        pending = new Set();
        this.#requests.set(peer, pending);
      }
      const finish = () => {
        timer.cancel();
        pending.delete(fail);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: unknown) => {
        finish();
        reject(error);
      };
      const onAbort = () => fail(new SkeinError('aborted', `${what} was given up`));
      const timer = clock.after(deadlineMs, () =>
        fail(new SkeinError('deadline-exceeded', `${what} did not end in time`)),
      );
      pending.add(fail);
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      work((value) => {
        finish();
        resolve(value);
      }, fail);
    });
  }

  #unreachable(peer: NodeId): Error {
    const { SkeinError } = this.#components.world.product;
    return new SkeinError('peer-unreachable', `${peer} is out of reach`, { retryable: true });
  }
}
