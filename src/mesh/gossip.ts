/**
 * Publish and subscribe by gossipsub. Everything said here may be lost, repeated or late: hints with
 * a revision, never facts. Messages are signed by their author, so a member cannot speak for another.
 *
 * Gossipsub learns of peers from us, not from identify: we tell it about a peer when its greeting is
 * complete, on the one connection in use, and take it back when that connection goes. That also spares
 * it the surplus connections whose end would leave a peer without an outgoing gossip stream.
 */

import { gossipsub } from '@libp2p/gossipsub';
import {
  type Connection,
  type PeerId as Libp2pPeerId,
  type StreamHandler,
  type StreamHandlerOptions,
  serviceCapabilities,
  type Topology,
} from '@libp2p/interface';
import type { Libp2pOptions } from 'libp2p';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { MeshLimits } from './limits.ts';
import type { PeerId } from './types.ts';

type Components = Parameters<NonNullable<Libp2pOptions['services']>[string]>[0];
type GossipSub = ReturnType<ReturnType<typeof gossipsub>>;
type Handler = (data: Uint8Array, from: PeerId) => void;
type Neighbour = {
  readonly id: Libp2pPeerId;
  readonly connection: Connection;
  /** Heartbeats in a row without a gossip stream of ours to this peer. */
  missing: number;
};

/** Tells libp2p's dependency check that peers' protocols are known: our greeting sees to it. */
export const greetingCapability = () => ({ [serviceCapabilities]: ['@libp2p/identify'] });

/** Most topics one node may be subscribed to. */
const TOPICS_MAX = 256;

export class Gossip {
  readonly #log: Logger;
  readonly #limits: MeshLimits;
  readonly #isMember: (peer: PeerId) => boolean;
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #topologies = new Set<Topology>();
  /** The peers gossipsub should know, on which connection. */
  readonly #active = new Map<PeerId, Neighbour>();
  #gossipsub: GossipSub | undefined;

  constructor(options: {
    readonly log: Logger;
    readonly limits: MeshLimits;
    readonly isMember: (peer: PeerId) => boolean;
  }) {
    this.#log = options.log;
    this.#limits = options.limits;
    this.#isMember = options.isMember;
  }

  /** The libp2p service; called once by the host. */
  service(components: Components): GossipSub {
    const service = gossipsub({
      emitSelf: false,
      doPX: false,
      fallbackToFloodsub: false,
      // Direct delivery to every subscribed peer when publishing; forwarding still spreads it.
      floodPublish: true,
      allowPublishToZeroTopicPeers: true,
      ignoreDuplicatePublishError: true,
      tagMeshPeers: false,
      seenTTL: 60_000,
      maxInboundDataLength: this.#limits.gossipBytesMax + 1024,
      maxOutboundBufferSize: 4 * 1024 * 1024,
      maxTopicBytesPerPeer: TOPICS_MAX * 2048,
      // Members share addresses behind one router, and in the lab: colocation is no offence.
      scoreParams: { IPColocationFactorWeight: 0 },
    })({
      privateKey: components.privateKey,
      peerId: components.peerId,
      peerStore: components.peerStore,
      connectionManager: components.connectionManager,
      logger: components.logger,
      registrar: this.#gatedRegistrar(components.registrar),
    });
    service.addEventListener('message', ({ detail }) => {
      if (detail.type !== 'signed') return;
      this.#deliver(detail.topic, detail.data, detail.from.toString());
    });
    service.addEventListener('gossipsub:heartbeat', () => this.#repair());
    this.#gossipsub = service;
    return service;
  }

  /** The peer may be gossiped with on `connection` from now on. */
  connected(id: Libp2pPeerId, connection: Connection): void {
    this.#active.set(id.toString(), { id, connection, missing: 0 });
    for (const topology of this.#topologies) void topology.onConnect?.(id, connection);
  }

  disconnected(id: Libp2pPeerId): void {
    this.#active.delete(id.toString());
    for (const topology of this.#topologies) void topology.onDisconnect?.(id);
  }

  publish(topic: string, data: Uint8Array): void {
    if (data.byteLength > this.#limits.gossipBytesMax) {
      throw new SkeinError(
        'frame-too-large',
        `a gossip message of ${data.byteLength} bytes exceeds ${this.#limits.gossipBytesMax}`,
      );
    }
    this.#gossipsub?.publish(topic, data).catch((error: unknown) => {
      this.#log.debug({ topic, error }, 'a gossip message was not sent');
    });
  }

  subscribe(topic: string, handler: Handler): () => void {
    const handlers = this.#handlers.get(topic) ?? new Set();
    if (handlers.size === 0) {
      if (this.#handlers.size >= TOPICS_MAX) {
        throw new SkeinError('overloaded', `at most ${TOPICS_MAX} gossip topics`);
      }
      this.#handlers.set(topic, handlers);
      this.#gossipsub?.subscribe(topic);
    }
    handlers.add(handler);
    return () => {
      if (!handlers.delete(handler) || handlers.size > 0) return;
      this.#handlers.delete(topic);
      this.#gossipsub?.unsubscribe(topic);
    };
  }

  /**
   * Introduces peers again that gossipsub lost. History: (1) a connection breaks, (2) its successor is
   * introduced, (3) the read error of the old stream arrives late and makes gossipsub forget the peer.
   */
  #repair(): void {
    for (const neighbour of [...this.#active.values()]) {
      const { id, connection } = neighbour;
      const present = connection.streams.some(
        ({ direction, protocol }) => direction === 'outbound' && protocol.startsWith('/meshsub/'),
      );
      neighbour.missing = present ? 0 : neighbour.missing + 1;
      // Once may be a stream still being opened.
      if (neighbour.missing < 2) continue;
      this.disconnected(id);
      this.connected(id, connection);
    }
  }

  #deliver(topic: string, data: Uint8Array, from: PeerId): void {
    if (!this.#isMember(from)) return;
    for (const handler of this.#handlers.get(topic) ?? []) {
      try {
        handler(data, from);
      } catch (error) {
        this.#log.error({ topic, from, error }, 'a gossip handler failed');
      }
    }
  }

  /** Lets only members open gossip streams, and keeps the topologies for `connected`. */
  #gatedRegistrar(registrar: Components['registrar']): Components['registrar'] {
    const gated = (handler: StreamHandler): StreamHandler => {
      return (stream, connection) => {
        if (this.#isMember(connection.remotePeer.toString())) return handler(stream, connection);
        stream.abort(new SkeinError('not-admitted', 'gossip is for members'));
      };
    };
    return {
      getProtocols: () => registrar.getProtocols(),
      getHandler: (protocol) => registrar.getHandler(protocol),
      handle: (protocol: string, handler: StreamHandler, options?: StreamHandlerOptions) =>
        registrar.handle(protocol, gated(handler), options),
      unhandle: (protocol) => registrar.unhandle(protocol),
      use: (protocol, middleware) => registrar.use(protocol, middleware),
      unuse: (protocol) => registrar.unuse(protocol),
      getMiddleware: (protocol) => registrar.getMiddleware(protocol),
      register: async (protocol: string, topology: Topology) => {
        this.#topologies.add(topology);
        return protocol;
      },
      unregister: () => this.#topologies.clear(),
      getTopologies: () => [...this.#topologies],
    };
  }
}
