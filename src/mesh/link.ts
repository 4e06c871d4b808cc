/**
 * One connection with a member. It counts only after both sides greeted each other on the control
 * stream, which proves that each admits the other and says which start of the peer this is; then the
 * control stream carries heartbeats, because TCP says nothing when a machine dies without a word.
 *
 *   greeting --hello both ways--> up --close, silence, abort--> down
 *       \---------- deadline, refusal, close ------------------^
 *
 * The side that was dialled judges the greeting before it answers, the other when the answer comes. A refusal
 * is said before the connection is cut: it means that the peer's data directory is a copy.
 *
 * Two nodes that dial each other get two links and keep one. The other is left in peace: a side that
 * has nothing of its own under way on it, and will start nothing, says so; when both have, it closes.
 */

import type { Connection, Stream } from '@libp2p/interface';
import type { Clock, Timer } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import { decode, encode } from './codec.ts';
import { FramedStream } from './framed-stream.ts';
import { parseRefusal, type Refusal, refusalFrame } from './introduction.ts';
import type { MeshLimits } from './limits.ts';
import { RpcClient } from './rpc-client.ts';
import type { PeerId, RequestOptions } from './types.ts';

/** Carries the greeting and the heartbeats; opened by the side that dialled. */
export const CONTROL_PROTOCOL = '/skein/control/1';
/** Carries requests; each side opens one for its own. */
export const RPC_PROTOCOL = '/skein/rpc/1';

/** What each side says first. */
export type Greeting = {
  /** Differs at every start of a process: a peer that came back is a new one to its old links. */
  readonly incarnation: string;
  /** How often the sender has started; 0 if it does not count. */
  readonly start: number;
  /** Counts the dials of the dialling side; 0 from the other. */
  readonly sequence: number;
  /** Where the sender can be dialled. */
  readonly addresses: readonly string[];
};

export type LinkOptions = {
  readonly clock: Clock;
  readonly limits: MeshLimits;
  readonly greeting: Greeting;
  /** Judges the peer's greeting; undefined lets it in. */
  readonly judge: (link: Link, remote: Greeting) => Promise<Refusal | undefined>;
  /** The peer refused our greeting. */
  readonly onRefused: (refusal: Refusal) => void;
  readonly onUp: (link: Link) => void;
  readonly onDown: (link: Link, reason: string) => void;
};

const HEARTBEAT = new Uint8Array(0);
const LEAVE = encode('leave');
const PROBE = encode('probe');
const ALIVE = encode('alive');
const CONTROL_FRAME_BYTES_MAX = 64 * 1024;
const ADDRESSES_MAX = 32;

export class Link {
  readonly peer: PeerId;
  readonly connection: Connection;
  readonly dialledByUs: boolean;
  /** Settles when the greeting is complete, or rejects with peer-unreachable. */
  readonly ready: Promise<void>;
  /** True once bytes from the peer arrived, on any stream, since this was last set to false. */
  heard = true;
  /** Heartbeats in a row that found nothing heard. */
  silentBeats = 0;
  /** When this link became surplus to another one with the same peer. */
  surplusSinceMs: number | undefined;
  /** Streams we opened on this link, besides control and requests. */
  streams = 0;

  readonly #options: LinkOptions;
  readonly #deadline: Timer;
  readonly #becomeReady: { resolve: () => void; reject: (error: Error) => void };
  #state: 'greeting' | 'up' | 'down' = 'greeting';
  #probes: ((alive: boolean) => void)[] = [];
  #control: FramedStream | undefined;
  #remote: Greeting | undefined;
  #leftByUs = false;
  #leftByPeer = false;
  #rpc: RpcClient | Promise<RpcClient> | undefined;

  constructor(connection: Connection, options: LinkOptions) {
    this.peer = connection.remotePeer.toString();
    this.connection = connection;
    this.dialledByUs = connection.direction === 'outbound';
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    this.ready = promise;
    this.#becomeReady = { resolve, reject };
    this.#deadline = options.clock.after(options.limits.greetingMs, () =>
      this.close('the greeting took too long'),
    );
    connection.addEventListener('close', () => this.#down('the connection closed'));
    if (connection.status !== 'open') this.#down('the connection closed');
    else if (this.dialledByUs) void this.#openControl();
  }

  get up(): boolean {
    return this.#state === 'up';
  }

  /** True while we may start something on this link. */
  get usable(): boolean {
    return this.#state === 'up' && !this.#leftByUs;
  }

  /** True when neither side has anything under way here nor will start anything. */
  get left(): boolean {
    return this.#leftByUs && this.#leftByPeer;
  }

  get remote(): Greeting | undefined {
    return this.#remote;
  }

  /** The number both sides give this link: dials are counted by the side that dials. */
  get sequence(): number {
    return (this.dialledByUs ? this.#options.greeting : this.#remote)?.sequence ?? 0;
  }

  /** Requests of ours that wait for an answer on this link. */
  get outstanding(): number {
    return this.#rpc instanceof RpcClient ? this.#rpc.outstanding : this.#rpc === undefined ? 0 : 1;
  }

  /** Takes a stream the peer opened for control: greets back. */
  acceptControl(stream: Stream): void {
    if (this.dialledByUs || this.#control !== undefined || this.#state !== 'greeting') {
      stream.abort(new SkeinError('stream-closed', 'this connection has its control stream'));
      return;
    }
    this.#useControl(this.frame(stream, CONTROL_FRAME_BYTES_MAX));
  }

  /** Wraps a stream of this connection; its traffic counts as a sign of life. */
  frame(stream: Stream, frameBytesMax: number): FramedStream {
    return new FramedStream(stream, {
      peer: this.peer,
      protocol: stream.protocol,
      frameBytesMax,
      limits: this.#options.limits,
      onTraffic: this.#onTraffic,
    });
  }

  /** Opens a stream on this link. Rejects with peer-unreachable or remote-failed (no such protocol). */
  async open(protocol: string, frameBytesMax: number, signal: AbortSignal): Promise<FramedStream> {
    try {
      const maxOutboundStreams = this.#options.limits.streamsPerProtocolMax;
      const stream = await this.connection.newStream(protocol, { signal, maxOutboundStreams });
      return this.frame(stream, frameBytesMax);
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof Error && cause.name === 'UnsupportedProtocolError') {
        throw new SkeinError('remote-failed', `${this.peer} does not serve ${protocol}`, { cause });
      }
      throw new SkeinError('peer-unreachable', `cannot open ${protocol} to ${this.peer}`, {
        cause,
        retryable: true,
      });
    }
  }

  /** Asks the peer over this link's request stream, opening it when it is the first request. */
  request(method: string, body: unknown, options: RequestOptions): Promise<unknown> {
    const rpc = this.#rpc;
    if (rpc instanceof RpcClient && !rpc.closed) return rpc.request(method, body, options);
    return this.#openRpc().then((client) => client.request(method, body, options));
  }

  /** Says that we live, and counts whether the peer did. */
  heartbeat(): void {
    if (this.#state !== 'up') return;
    this.silentBeats = this.heard ? 0 : this.silentBeats + 1;
    this.heard = false;
    this.#control?.send(HEARTBEAT).catch(() => {
      // A control stream that cannot send is closing; its reading loop takes the link down.
    });
  }

  /** True if the process at the other end answers this moment, false if not within `contestMs`. */
  probe(): Promise<boolean> {
    if (this.#state !== 'up') return Promise.resolve(false);
    const { clock, limits } = this.#options;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = clock.after(limits.contestMs, () => resolve(false));
    this.#probes.push(resolve);
    this.#control?.send(PROBE).catch(() => resolve(false));
    return promise.finally(() => timer.cancel());
  }

  /** Says that we start nothing more here, if nothing of ours is under way. For surplus links. */
  leave(): void {
    if (!this.usable || this.streams > 0 || this.outstanding > 0) return;
    this.#leftByUs = true;
    this.#control?.send(LEAVE).catch(() => {});
  }

  /** Cuts the connection at once. */
  close(reason: string): void {
    if (this.#state === 'down') return;
    this.#down(reason);
    this.connection.abort(new SkeinError('peer-unreachable', reason));
  }

  readonly #onTraffic = (): void => {
    this.heard = true;
  };

  async #openControl(): Promise<void> {
    try {
      const signal = AbortSignal.timeout(this.#options.limits.greetingMs);
      this.#useControl(await this.open(CONTROL_PROTOCOL, CONTROL_FRAME_BYTES_MAX, signal));
    } catch (error) {
      this.close(`the peer refused the control stream: ${error}`);
    }
  }

  #useControl(control: FramedStream): void {
    this.#control = control;
    if (this.dialledByUs) this.#greet(control);
    void this.#readControl(control);
  }

  async #readControl(control: FramedStream): Promise<void> {
    try {
      for await (const frame of control.frames) {
        if (frame.byteLength === HEARTBEAT.byteLength) continue;
        const value = decode(frame);
        const refusal = parseRefusal(value);
        if (refusal !== undefined) return this.#refusedByPeer(refusal);
        if (this.#state === 'greeting') await this.#greeted(control, value);
        else if (value === 'leave') this.#leftByPeer = true;
        else if (value === 'probe') control.send(ALIVE).catch(() => {});
        else if (value === 'alive') for (const tell of this.#probes.splice(0)) tell(true);
      }
      this.close('the peer ended the connection');
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error));
    }
  }

  #greet(control: FramedStream): void {
    control.send(encode(this.#options.greeting)).catch(() => {});
  }

  async #greeted(control: FramedStream, value: unknown): Promise<void> {
    const remote = parseGreeting(value);
    if (remote === undefined) {
      this.close('the peer sent an unknown greeting');
      return;
    }
    const refusal = await this.#options.judge(this, remote);
    if (this.#state !== 'greeting') return;
    if (refusal !== undefined) {
      const { detail } = refusal;
      await control.send(refusalFrame(refusal)).catch(() => {});
      // Frames reach the other side only while the connection stands.
      await control.closeWrite().catch(() => {});
      this.#down(`refused: ${detail}`);
      this.#options.clock.after(this.#options.limits.contestMs, () =>
        this.connection.abort(new SkeinError('not-admitted', detail)),
      );
      return;
    }
    if (!this.dialledByUs) this.#greet(control);
    this.#remote = remote;
    this.#state = 'up';
    this.#deadline.cancel();
    this.#options.onUp(this);
    this.#becomeReady.resolve();
  }

  #refusedByPeer(refusal: Refusal): void {
    this.close(`the peer refused us: ${refusal.detail}`);
    this.#options.onRefused(refusal);
  }

  async #openRpc(): Promise<RpcClient> {
    if (this.#rpc instanceof Promise) return this.#rpc;
    const { clock, limits } = this.#options;
    const signal = AbortSignal.timeout(limits.handshakeMs);
    const opening = this.open(RPC_PROTOCOL, limits.rpcFrameBytesMax, signal).then((stream) => {
      return new RpcClient(stream, { clock, outstandingMax: limits.requestsOutstandingMax });
    });
    this.#rpc = opening;
    try {
      const client = await opening;
      this.#rpc = client;
      return client;
    } catch (error) {
      this.#rpc = undefined;
      throw error;
    }
  }

  #down(reason: string): void {
    if (this.#state === 'down') return;
    this.#state = 'down';
    this.#deadline.cancel();
    for (const tell of this.#probes.splice(0)) tell(false);
    const error = new SkeinError('peer-unreachable', `${this.peer}: ${reason}`, {
      retryable: true,
    });
    this.#becomeReady.reject(error);
    if (this.#rpc instanceof RpcClient) {
      this.#rpc.stop(new SkeinError('stream-closed', error.message, { retryable: true }));
    }
    this.#options.onDown(this, reason);
  }
}

function parseGreeting(value: unknown): Greeting | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { incarnation, sequence, addresses, start } = value as Partial<
    Record<keyof Greeting, unknown>
  >;
  if (typeof incarnation !== 'string' || typeof sequence !== 'number') return undefined;
  if (!Array.isArray(addresses)) return undefined;
  const known = addresses.filter((address) => typeof address === 'string');
  return {
    incarnation,
    // Members of the first release do not count their starts.
    start: Number.isSafeInteger(start) ? (start as number) : 0,
    sequence,
    addresses: known.slice(0, ADDRESSES_MAX),
  };
}
