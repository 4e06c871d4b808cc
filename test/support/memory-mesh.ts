/**
 * The mesh's twin in memory: a network of nodes in one process whose links can be cut, healed and slowed. Frames
 * keep their order. A link cut in silence holds what is sent until it is healed, as TCP does; a link cut with
 * notice resets its streams and tells both ends.
 */

import { Packr } from 'msgpackr';
import { abortError } from '../../src/lib/async.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import type {
  Mesh,
  MeshStream,
  PeerEvent,
  PeerId,
  RequestHandler,
  RequestOptions,
  StreamHandler,
} from '../../src/mesh/types.ts';

const packr = new Packr({ useRecords: false });
/** Frames that may lie unread at the receiver before a sender waits. */
const WINDOW_FRAMES = 32;

type LinkState = 'up' | 'silent' | 'down';
/** One direction between two nodes. */
type Link = { state: LinkState; delayMs: number; held: (() => void)[] };

/** A network of in-memory meshes. */
export class MemoryNetwork {
  readonly #nodes = new Map<PeerId, MemoryMesh>();
  readonly #links = new Map<string, Link>();

  /** Starts (or starts anew) the node `self`. */
  start(self: PeerId): Mesh {
    const mesh = new MemoryMesh(self, this);
    this.#nodes.set(self, mesh);
    for (const other of this.#nodes.values()) {
      if (other.self === self || !this.isUp(self, other.self)) continue;
      other.emit({ kind: 'connected', peer: self });
    }
    return mesh;
  }

  /** The process of `node` dies: its connections break at once. */
  kill(node: PeerId): void {
    const mesh = this.#nodes.get(node);
    if (mesh === undefined) return;
    this.#nodes.delete(node);
    mesh.breakAll();
    for (const other of this.#nodes.values()) other.lost(node);
  }

  /** Cuts both directions between every node of `left` and every node of `right`. */
  cut(left: readonly PeerId[], right: readonly PeerId[], options: { notice?: boolean } = {}): void {
    for (const a of left) {
      for (const b of right) {
        this.link(a, b).state = options.notice ? 'down' : 'silent';
        this.link(b, a).state = options.notice ? 'down' : 'silent';
        if (!options.notice) continue;
        this.#nodes.get(a)?.lost(b);
        this.#nodes.get(b)?.lost(a);
      }
    }
  }

  /** Every link works again. What was held is delivered. */
  heal(): void {
    const nodes = [...this.#nodes.values()];
    for (const a of nodes) {
      for (const b of nodes) {
        const link = this.link(a.self, b.self);
        const wasDown = link.state === 'down';
        link.state = 'up';
        for (const deliver of link.held.splice(0)) setImmediate(deliver);
        if (wasDown) a.emit({ kind: 'connected', peer: b.self });
      }
    }
  }

  /** Every frame from `from` to `to` takes this long. */
  delay(from: PeerId, to: PeerId, delayMs: number): void {
    this.link(from, to).delayMs = delayMs;
  }

  /** @internal */
  node(peer: PeerId): MemoryMesh | undefined {
    return this.#nodes.get(peer);
  }

  /** @internal */
  names(): PeerId[] {
    return [...this.#nodes.keys()];
  }

  /** @internal */
  isUp(a: PeerId, b: PeerId): boolean {
    return this.link(a, b).state !== 'down';
  }

  /** @internal */
  link(from: PeerId, to: PeerId): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { state: 'up', delayMs: 0, held: [] };
      this.#links.set(name, link);
    }
    return link;
  }

  /** @internal Runs `action` at the other end, in order. */
  carry(from: PeerId, to: PeerId, action: () => void): void {
    const link = this.link(from, to);
    const deliver = () => {
      if (link.state === 'silent') link.held.push(deliver);
      else if (link.state === 'up') action();
    };
    if (link.delayMs > 0) setTimeout(deliver, link.delayMs);
    else setImmediate(deliver);
  }
}

class MemoryMesh implements Mesh {
  readonly self: PeerId;
  readonly #network: MemoryNetwork;
  readonly #handlers = new Map<string, StreamHandler>();
  readonly #services = new Map<string, RequestHandler>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  readonly #streams = new Set<MemoryStream>();
  readonly #requests = new Map<PeerId, Set<(error: SkeinError) => void>>();
  readonly #topics = new Map<string, Set<(data: Uint8Array, from: PeerId) => void>>();

  constructor(self: PeerId, network: MemoryNetwork) {
    this.self = self;
    this.#network = network;
  }

  addresses(): readonly string[] {
    return [`/memory/${this.self}`];
  }

  handle(protocol: string, handler: StreamHandler): void {
    if (this.#handlers.has(protocol)) throw new Error(`${protocol} has a handler`);
    this.#handlers.set(protocol, handler);
  }

  async openStream(peer: PeerId, protocol: string, options: RequestOptions): Promise<MeshStream> {
    const handler = this.#network.node(peer)?.streamHandler(protocol);
    if (handler === undefined || !this.#network.isUp(this.self, peer)) throw unreachable(peer);
    const [ours, theirs] = MemoryStream.pair(this.#network, this.self, peer, protocol);
    const opened = new Promise<void>((resolve) => {
      this.#network.carry(this.self, peer, () => {
        this.#network.node(peer)?.accept(theirs, handler);
        resolve();
      });
    });
    this.#streams.add(ours);
    await bounded(opened, options, `opening ${protocol} to ${peer}`, new Set());
    return ours;
  }

  serve(method: string, handler: RequestHandler): void {
    this.#services.set(method, handler);
  }

  async request(
    peer: PeerId,
    method: string,
    body: unknown,
    options: RequestOptions,
  ): Promise<unknown> {
    const target = this.#network.node(peer);
    if (target === undefined || !this.#network.isUp(this.self, peer)) throw unreachable(peer);
    const packed = packr.pack(body);
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#network.carry(this.self, peer, () => {
        void target.answer(method, packr.unpack(packed), this.self).then(
          (value) => {
            const answer = packr.pack(value);
            this.#network.carry(peer, this.self, () => resolve(packr.unpack(answer)));
          },
          (error: unknown) => this.#network.carry(peer, this.self, () => reject(error)),
        );
      });
    });
    let pending = this.#requests.get(peer);
    if (pending === undefined) {
      pending = new Set();
      this.#requests.set(peer, pending);
    }
    return bounded(answered, options, `${method} to ${peer}`, pending);
  }

  publish(topic: string, data: Uint8Array): void {
    for (const name of this.#network.names()) {
      this.#network.carry(this.self, name, () =>
        this.#network.node(name)?.hear(topic, data, this.self),
      );
    }
  }

  subscribe(topic: string, handler: (data: Uint8Array, from: PeerId) => void): () => void {
    const handlers = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, handlers);
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  admit(): void {}

  peers() {
    return this.#network
      .names()
      .filter((peer) => peer !== this.self)
      .map((peer) => ({
        peer,
        connected: this.#network.isUp(this.self, peer),
        addresses: [`/memory/${peer}`],
      }));
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#network.kill(this.self);
  }

  streamHandler(protocol: string): StreamHandler | undefined {
    return this.#handlers.get(protocol);
  }

  accept(stream: MemoryStream, handler: StreamHandler): void {
    this.#streams.add(stream);
    handler(stream);
  }

  async answer(method: string, body: unknown, from: PeerId): Promise<unknown> {
    const handler = this.#services.get(method);
    if (handler === undefined) throw new SkeinError('peer-unreachable', `${method} is not served`);
    return handler(body, from, new AbortController().signal);
  }

  hear(topic: string, data: Uint8Array, from: PeerId): void {
    for (const handler of this.#topics.get(topic) ?? []) handler(data, from);
  }

  emit(event: PeerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  lost(peer: PeerId): void {
    for (const stream of this.#streams) if (stream.peer === peer) stream.abort();
    for (const fail of this.#requests.get(peer) ?? []) fail(unreachable(peer));
    this.#requests.delete(peer);
    this.emit({ kind: 'disconnected', peer });
  }

  breakAll(): void {
    for (const stream of this.#streams) stream.abort();
    for (const pending of this.#requests.values()) {
      for (const fail of pending) fail(new SkeinError('aborted', 'the mesh has stopped'));
    }
    this.#requests.clear();
    this.#listeners.clear();
  }
}

class MemoryStream implements MeshStream {
  readonly peer: PeerId;
  readonly protocol: string;
  readonly closed: AbortSignal;
  readonly #ending = new AbortController();
  readonly #network: MemoryNetwork;
  readonly #self: PeerId;
  #other: MemoryStream | undefined;
  readonly #inbox: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void)[] = [];
  #writers: (() => void)[] = [];

  private constructor(network: MemoryNetwork, self: PeerId, peer: PeerId, protocol: string) {
    this.#network = network;
    this.#self = self;
    this.peer = peer;
    this.protocol = protocol;
    this.closed = this.#ending.signal;
  }

  static pair(network: MemoryNetwork, from: PeerId, to: PeerId, protocol: string) {
    const ours = new MemoryStream(network, from, to, protocol);
    const theirs = new MemoryStream(network, to, from, protocol);
    ours.#other = theirs;
    theirs.#other = ours;
    return [ours, theirs] as const;
  }

  async send(frame: Uint8Array): Promise<void> {
    const other = this.#other;
    if (this.closed.aborted || other === undefined) throw closedError();
    const copy = Uint8Array.from(frame);
    await new Promise<void>((resolve, reject) => {
      this.closed.addEventListener('abort', () => reject(closedError()), { once: true });
      this.#network.carry(this.#self, this.peer, () => {
        other.#inbox.push(copy);
        other.#notify();
        if (other.#inbox.length <= WINDOW_FRAMES) resolve();
        else other.#writers.push(resolve);
      });
    });
  }

  get frames(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async closeWrite(): Promise<void> {
    this.#network.carry(this.#self, this.peer, () => {
      if (this.#other === undefined) return;
      this.#other.#ended = true;
      this.#other.#notify();
    });
  }

  abort(): void {
    if (this.closed.aborted) return;
    this.#ending.abort();
    this.#notify();
    this.#network.carry(this.#self, this.peer, () => this.#other?.abort());
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const frame = this.#inbox.shift();
      this.#writers.shift()?.();
      if (frame !== undefined) yield frame;
      else if (this.closed.aborted) throw closedError();
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Settles with `work`, at the deadline, when the signal fires, or when `failures` says so. */
function bounded<T>(
  work: Promise<T>,
  options: RequestOptions,
  what: string,
  failures: Set<(error: SkeinError) => void>,
): Promise<T> {
  const { deadlineMs, signal } = options;
  return new Promise<T>((resolve, reject) => {
    const fail = (error: unknown) => {
      done();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(new SkeinError('deadline-exceeded', `${what} took more than ${deadlineMs} ms`)),
      deadlineMs,
    );
    const onAbort = () => signal && fail(abortError(signal));
    const done = () => {
      clearTimeout(timer);
      failures.delete(fail);
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    failures.add(fail);
    work.then((value) => {
      done();
      resolve(value);
    }, fail);
  });
}

function unreachable(peer: PeerId): SkeinError {
  return new SkeinError('peer-unreachable', `${peer} is out of reach`, { retryable: true });
}

function closedError(): SkeinError {
  return new SkeinError('stream-closed', 'the stream is closed');
}
