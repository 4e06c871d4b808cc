/** The mesh: composes identity, admission, connections, requests, streams and gossip. */

import { randomBytes } from 'node:crypto';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { abortError, withDeadline } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { ADDRESSES_METHOD } from './address-exchange.ts';
import { Admission } from './admission.ts';
import { decode, encode } from './codec.ts';
import { FramedStream } from './framed-stream.ts';
import { Gossip } from './gossip.ts';
import { type Identity, loadIdentity, parseIdentity } from './identity.ts';
import { type Introduction, type Refusal, refusalFrame, UNINTRODUCED } from './introduction.ts';
import { createHost } from './libp2p-host.ts';
import { MESH_LIMITS, type MeshLimits } from './limits.ts';
import { CONTROL_PROTOCOL, type Link, RPC_PROTOCOL } from './link.ts';
import { type MeshFacts, registerMeshMetrics } from './mesh-metrics.ts';
import { PeerTable } from './peer-table.ts';
import { serveRequests } from './rpc-server.ts';
import { toOperational } from './rpc-wire.ts';
import type {
  Mesh,
  MeshStream,
  PeerEvent,
  PeerId,
  PeerInfo,
  RequestHandler,
  RequestOptions,
  StreamHandler,
  StreamOptions,
} from './types.ts';
import { Whereabouts, type WhereaboutsOptions } from './whereabouts.ts';

export type MeshComponents = {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Where the mesh's metrics go. Default: nowhere. */
  readonly metrics?: Registry;
};

export type MeshOptions = WhereaboutsOptions & {
  /** A key file (made when missing) or the key's bytes (`Identity.bytes`). */
  readonly identity: string | Uint8Array;
  /** Multiaddrs to listen on. Default: none, the node only dials. */
  readonly listen?: readonly string[];
  /** Multiaddrs others shall dial, if they differ from the listen addresses. Default: those. */
  readonly announce?: readonly string[];
  /** Changes to MESH_LIMITS. */
  readonly limits?: Partial<MeshLimits>;
};

/** The mesh with the doors that joining needs; see join.ts. */
export interface JoinableMesh extends Mesh {
  /** Names this start of the process; in every greeting. */
  readonly incarnation: string;
  /** What to say in greetings from now on, and how to judge those of others. To be called before `admit`. */
  introduce(introduction: Introduction): void;
  /** Lets peers that are no members open `protocol`, and nothing else. Returns how to end that. */
  welcomeStrangers(protocol: string, handler: StreamHandler): () => Promise<void>;
  /** Opens `protocol` to a peer that has not admitted us; the connection ends with the stream. */
  approach(
    peer: PeerId,
    addresses: readonly string[],
    protocol: string,
    options: RequestOptions,
  ): Promise<MeshStream>;
}

/** Starts a mesh node. Throws config-invalid if an address cannot be listened on. */
export async function createMesh(
  components: MeshComponents,
  options: MeshOptions,
): Promise<JoinableMesh> {
  const identity =
    typeof options.identity === 'string'
      ? await loadIdentity(options.identity)
      : parseIdentity(options.identity);
  const mesh = new Libp2pMesh(components, identity, options);
  await mesh.start(options);
  return mesh;
}

class Libp2pMesh implements JoinableMesh {
  readonly self: PeerId;
  readonly incarnation = randomBytes(8).toString('hex');
  #introduction = UNINTRODUCED;
  readonly #components: MeshComponents;
  readonly #identity: Identity;
  readonly #limits: MeshLimits;
  readonly #log: Logger;
  readonly #admission: Admission;
  readonly #gossip: Gossip;
  readonly #whereabouts: Whereabouts;
  readonly #requestHandlers = new Map<string, RequestHandler>();
  readonly #protocols = new Set<string>();
  #started: { readonly host: Libp2p; readonly table: PeerTable } | undefined;

  constructor(components: MeshComponents, identity: Identity, options: MeshOptions) {
    const limits = { ...MESH_LIMITS, ...options.limits };
    this.self = identity.id;
    this.#components = components;
    this.#identity = identity;
    this.#limits = limits;
    this.#log = components.logger.child({ part: 'mesh' });
    this.#admission = new Admission(identity.id, limits, components.clock);
    const isMember = (peer: PeerId) => this.#admission.isMember(peer);
    this.#gossip = new Gossip({ log: this.#log, limits, isMember });
    this.#whereabouts = new Whereabouts(
      {
        identity,
        clock: components.clock,
        log: this.#log,
        isMember,
        peers: () => this.#started?.table.peers() ?? [],
        request: (peer, body, deadlineMs) =>
          this.request(peer, ADDRESSES_METHOD, body, { deadlineMs }),
        locate: (peer, addresses) => this.#started?.table.locate(peer, addresses),
      },
      options,
    );
    this.serve(ADDRESSES_METHOD, (body, from) => this.#whereabouts.serve(body, from));
  }

  async start({ listen = [], announce = [] }: MeshOptions): Promise<void> {
    const { clock, random } = this.#components;
    const host = await createHost({
      identity: this.#identity,
      listen,
      announce,
      limits: this.#limits,
      admission: this.#admission,
      gossip: this.#gossip,
      log: this.#log,
    }).catch((cause: unknown) => {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new SkeinError('config-invalid', `cannot listen on ${listen.join(', ')}: ${text}`, {
        cause,
      });
    });
    const table = new PeerTable({
      self: this.self,
      host,
      clock,
      random,
      log: this.#log,
      limits: this.#limits,
      incarnation: this.incarnation,
      introduction: () => this.#introduction,
      metrics: registerMeshMetrics(this.#components.metrics, () => this.#facts()),
      onActive: (peer, link, previous) => this.#onActive(peer, link, previous),
    });
    this.#started = { host, table };
    host.addEventListener('connection:open', ({ detail }) => this.#onConnection(detail));
    await this.#register(CONTROL_PROTOCOL, (stream, link) => link.acceptControl(stream));
    await this.#register(RPC_PROTOCOL, (stream, link) => {
      void serveRequests(link.frame(stream, this.#limits.rpcFrameBytesMax), {
        handlers: this.#requestHandlers,
        clock,
        log: this.#log,
        servedMax: this.#limits.requestsServedMax,
      });
    });
    table.onPeer(({ kind, peer }) => {
      if (kind === 'connected') this.#whereabouts.greet(peer);
    });
    await this.#whereabouts.start(this.addresses());
  }

  addresses(): readonly string[] {
    return this.#running().host.getMultiaddrs().map(String);
  }

  introduce(introduction: Introduction): void {
    this.#introduction = introduction;
  }

  handle(protocol: string, handler: StreamHandler, options: StreamOptions = {}): void {
    if (this.#protocols.has(protocol)) throw new Error(`${protocol} has a handler already`);
    const { frameBytesMax = this.#limits.frameBytesMax } = options;
    this.#register(protocol, (stream, link) => {
      void this.#hand(link.frame(stream, frameBytesMax), handler);
    }).catch((error: unknown) => this.#log.error({ protocol, error }, 'cannot serve a protocol'));
  }

  async openStream(
    peer: PeerId,
    protocol: string,
    options: RequestOptions & StreamOptions,
  ): Promise<MeshStream> {
    const { frameBytesMax = this.#limits.frameBytesMax } = options;
    const { clock } = this.#components;
    const what = `opening ${protocol} to ${peer}`;
    return withDeadline(
      async (signal) => {
        const { table } = this.#running();
        const link = await table.connect(peer, { ...options, signal });
        return await openTracked(link, protocol, frameBytesMax, signal);
      },
      { ...options, clock, what },
    );
  }

  serve(method: string, handler: RequestHandler): void {
    if (this.#requestHandlers.has(method)) throw new Error(`${method} has a handler already`);
    this.#requestHandlers.set(method, handler);
  }

  request(peer: PeerId, method: string, body: unknown, options: RequestOptions): Promise<unknown> {
    if (peer === this.self) return this.#requestSelf(method, body, options);
    const table = this.#started?.table;
    if (table === undefined) return Promise.reject(stopped());
    const link = table.active(peer);
    if (link !== undefined) return link.request(method, body, options);
    const startMs = this.#components.clock.monotonicMs();
    return table.connect(peer, options).then((connected) => {
      const leftMs = options.deadlineMs - (this.#components.clock.monotonicMs() - startMs);
      return connected.request(method, body, { ...options, deadlineMs: Math.max(1, leftMs) });
    });
  }

  publish(topic: string, data: Uint8Array): void {
    this.#gossip.publish(topic, data);
  }

  subscribe(topic: string, handler: (data: Uint8Array, from: PeerId) => void): () => void {
    return this.#gossip.subscribe(topic, handler);
  }

  admit(members: ReadonlyMap<PeerId, readonly string[]>): void {
    const { host, table } = this.#running();
    this.#admission.members = members;
    table.update(members);
    void this.#whereabouts.follow(new Set(members.keys()));
    for (const connection of host.getConnections()) {
      // A join under way outlives the moment its peer becomes a member: the grant is still to be sent.
      if (table.linkOf(connection) !== undefined || this.#isForJoining(connection)) continue;
      connection.abort(new SkeinError('not-admitted', 'the membership changed'));
    }
  }

  peers(): readonly PeerInfo[] {
    return this.#running().table.peers();
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    return this.#running().table.onPeer(listener);
  }

  async stop(): Promise<void> {
    const started = this.#started;
    if (started === undefined) return;
    this.#started = undefined;
    started.table.stop();
    this.#admission.allowStrangers(false);
    this.#admission.members = new Map();
    for (const connection of started.host.getConnections()) connection.abort(stopped());
    await started.host.stop();
    await this.#whereabouts.stop();
  }

  welcomeStrangers(protocol: string, handler: StreamHandler): () => Promise<void> {
    const { host } = this.#running();
    const limits = this.#limits;
    const { frameBytesMax, strangerFrameBytesMax: receiveBytesMax } = limits;
    const take = (stream: Stream, connection: Connection) => {
      const peer = connection.remotePeer.toString();
      const options = { peer, protocol, frameBytesMax, receiveBytesMax, limits };
      void this.#hand(new FramedStream(stream, options), handler);
    };
    host
      .handle(protocol, take, { maxInboundStreams: 1 })
      .catch((error: unknown) => this.#log.error({ protocol, error }, 'cannot serve joining'));
    this.#admission.allowStrangers(true);
    return async () => {
      this.#admission.allowStrangers(false);
      await host.unhandle(protocol);
    };
  }

  async approach(
    peer: PeerId,
    addresses: readonly string[],
    protocol: string,
    options: RequestOptions,
  ): Promise<MeshStream> {
    const { host } = this.#running();
    const release = this.#admission.sponsor(peer);
    const what = `asking ${peer} at ${addresses.join(', ')}`;
    const open = async (signal: AbortSignal): Promise<MeshStream> => {
      const connection = await host.dial(
        addresses.map((address) => multiaddr(address)),
        { signal },
      );
      const stream = await connection.newStream(protocol, { signal });
      const { frameBytesMax } = this.#limits;
      const framed = new FramedStream(stream, {
        peer,
        protocol,
        frameBytesMax,
        limits: this.#limits,
      });
      framed.closed.addEventListener('abort', () => {
        release();
        // The connection served to ask only. As a member we connect anew, with a greeting.
        if (this.#started?.table.linkOf(connection) === undefined) connection.abort(stopped());
      });
      return framed;
    };
    try {
      return await withDeadline(open, { ...options, clock: this.#components.clock, what });
    } catch (cause) {
      release();
      if (cause instanceof SkeinError) throw cause;
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new SkeinError('peer-unreachable', `${what} failed: ${text}`, {
        cause,
        retryable: true,
      });
    }
  }

  #facts(): MeshFacts {
    const started = this.#started;
    return {
      members: started?.table.peers().length ?? 0,
      connected: started?.table.peers().filter((peer) => peer.connected).length ?? 0,
      connections: started?.host.getConnections().length ?? 0,
      strangers: this.#admission.strangers,
      requestsOutstanding: started?.table.outstanding ?? 0,
    };
  }

  #running(): { readonly host: Libp2p; readonly table: PeerTable } {
    if (this.#started === undefined) throw stopped();
    return this.#started;
  }

  /** Registers a members-only protocol. */
  async #register(protocol: string, take: (stream: Stream, link: Link) => void): Promise<void> {
    this.#protocols.add(protocol);
    const { host, table } = this.#running();
    const guarded = (stream: Stream, connection: Connection) => {
      const link = table.linkOf(connection);
      // Nothing but the greeting passes before it is judged.
      const early = link?.up === false && protocol !== CONTROL_PROTOCOL;
      if (!link && protocol === CONTROL_PROTOCOL && this.#explain(stream, connection)) return;
      if (link === undefined || early) stream.abort(new SkeinError('not-admitted', 'members only'));
      else take(stream, link);
    };
    await host.handle(protocol, guarded, {
      maxInboundStreams: this.#limits.streamsPerProtocolMax,
      maxOutboundStreams: this.#limits.streamsPerProtocolMax,
    });
  }

  /** Answers the greeting of a peer that is no member with the reason, if we know one. */
  #explain(stream: Stream, connection: Connection): boolean {
    const peer = connection.remotePeer.toString();
    const refusal = this.#introduction.stranger?.(peer);
    if (refusal === undefined) return false;
    const limits = this.#limits;
    const frameBytesMax = limits.strangerFrameBytesMax;
    const options = { peer, protocol: CONTROL_PROTOCOL, frameBytesMax, limits };
    void refuseGreeting(new FramedStream(stream, options), refusal);
    return true;
  }

  async #hand(stream: MeshStream, handler: StreamHandler): Promise<void> {
    try {
      await handler(stream);
    } catch (error) {
      // A stream that broke under its handler is no news; anything else is the handler's failure.
      if (!stream.closed.aborted) {
        this.#log.error({ protocol: stream.protocol, error }, 'a stream handler failed');
      }
      stream.abort(toOperational(error, stream.protocol));
    }
  }

  #onConnection(connection: Connection): void {
    const peer = connection.remotePeer.toString();
    if (this.#admission.isMember(peer)) {
      this.#started?.table.adopt(connection);
    } else if (!this.#admission.mayConnect(peer, connection.direction)) {
      connection.abort(new SkeinError('not-admitted', 'the peer is no member'));
    } else if (connection.direction === 'inbound') {
      this.#admission.watchStranger(connection);
      connection.addEventListener('close', () => this.#admission.forgetStranger(connection));
    }
  }

  /** True for a connection that exists for joining, on either side of it. */
  #isForJoining(connection: Connection): boolean {
    if (this.#admission.isStranger(connection)) return true;
    const outbound = connection.direction === 'outbound';
    return outbound && this.#admission.isSponsor(connection.remotePeer.toString());
  }

  #onActive(peer: PeerId, link: Link | undefined, previous: Link | undefined): void {
    const id = peerIdFromString(peer);
    if (previous !== undefined) this.#gossip.disconnected(id);
    if (link !== undefined) this.#gossip.connected(id, link.connection);
  }

  /** A request to ourselves takes the same encoding, so that nobody comes to rely on shared objects. */
  #requestSelf(method: string, body: unknown, options: RequestOptions): Promise<unknown> {
    const handler = this.#requestHandlers.get(method);
    if (handler === undefined) {
      return Promise.reject(new SkeinError('remote-failed', `the peer does not serve ${method}`));
    }
    if (options.signal?.aborted) return Promise.reject(abortError(options.signal));
    const work = async (signal: AbortSignal) => {
      try {
        return decode(encode(await handler(decode(encode(body)), this.self, signal)));
      } catch (error) {
        throw toOperational(error, method);
      }
    };
    return withDeadline(work, { ...options, clock: this.#components.clock, what: method });
  }
}

/** The connection ends with the stranger's time; that the stream broke meanwhile is no news. */
async function refuseGreeting(control: FramedStream, refusal: Refusal): Promise<void> {
  try {
    // An answer that comes before its question may find nobody listening yet.
    for await (const _greeting of control.frames) break;
    await control.send(refusalFrame(refusal));
    await control.closeWrite();
  } catch {
    control.abort();
  }
}

/** Opens a stream and counts it on its link from before to its end: a link in use is never left. */
async function openTracked(
  link: Link,
  protocol: string,
  frameBytesMax: number,
  signal: AbortSignal,
): Promise<FramedStream> {
  link.streams++;
  try {
    const stream = await link.open(protocol, frameBytesMax, signal);
    if (stream.closed.aborted) link.streams--;
    else stream.closed.addEventListener('abort', () => link.streams--, { once: true });
    return stream;
  } catch (error) {
    link.streams--;
    throw error;
  }
}

function stopped(): SkeinError {
  return new SkeinError('aborted', 'the mesh has stopped');
}
