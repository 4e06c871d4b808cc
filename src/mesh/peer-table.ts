/**
 * Keeps one working connection with every member: dials with backoff, settles which of two
 * simultaneous connections stays, cuts silent ones, and reports peers as connected or not.
 */

import type { Connection, Libp2p } from '@libp2p/interface';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { abortError } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import { chooseLink } from './choose-link.ts';
import type { Introduction, Refusal } from './introduction.ts';
import type { MeshLimits } from './limits.ts';
import { type Greeting, Link } from './link.ts';
import type { MeshMetrics } from './mesh-metrics.ts';
import type { PeerEvent, PeerId, PeerInfo, RequestOptions } from './types.ts';

export type PeerTableOptions = {
  readonly self: PeerId;
  readonly host: Libp2p;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: MeshLimits;
  /** Tells this start of the process from every other. */
  readonly incarnation: string;
  /** What we say of ourselves, and how we judge others, at this moment. */
  readonly introduction: () => Introduction;
  readonly metrics: MeshMetrics;
  /** The link in use with a peer changed; undefined when none is left. */
  readonly onActive: (peer: PeerId, link: Link | undefined, previous: Link | undefined) => void;
};

type Entry = {
  readonly peer: PeerId;
  /** Addresses the members' map gives. */
  hints: readonly string[];
  /** Addresses the peer itself named when it last greeted us. */
  learned: readonly string[];
  /** Addresses of the newest record that the peer has signed. */
  signed: readonly string[];
  readonly links: Set<Link>;
  active: Link | undefined;
  dialling: Promise<void> | undefined;
  attempt: number;
  redial: Timer | undefined;
  lastFailure: SkeinError | undefined;
  /** Before this, a caller in need gets the last failure instead of another dial. */
  nextDialMs: number;
};

export class PeerTable {
  readonly #options: PeerTableOptions;
  readonly #entries = new Map<PeerId, Entry>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  #dials = 0;
  #ticker: Timer | undefined;
  #stopped = false;

  constructor(options: PeerTableOptions) {
    this.#options = options;
    this.#scheduleTick();
  }

  /** Follows a new set of members: starts dialling the new ones, cuts those who left. */
  update(members: ReadonlyMap<PeerId, readonly string[]>): void {
    for (const entry of [...this.#entries.values()]) {
      if (!members.has(entry.peer)) this.#remove(entry);
    }
    for (const [peer, hints] of members) {
      if (peer === this.#options.self) continue;
      const entry = this.#entries.get(peer);
      if (entry === undefined) this.#add(peer, hints);
      else if (hints.join() !== entry.hints.join()) {
        entry.hints = hints;
        entry.attempt = 0;
        if (entry.active === undefined) this.#scheduleDial(entry, 0);
      }
    }
  }

  /** Takes what a member says of where it is; dials it there at once if it is not connected. */
  locate(peer: PeerId, addresses: readonly string[]): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    entry.signed = addresses;
    entry.attempt = 0;
    if (entry.active === undefined) this.#scheduleDial(entry, 0);
  }

  /** Takes a new connection of a member. */
  adopt(connection: Connection): void {
    const entry = this.#entries.get(connection.remotePeer.toString());
    if (entry === undefined || this.#stopped) {
      connection.abort(new SkeinError('not-admitted', 'the peer is no member'));
      return;
    }
    const { clock, limits } = this.#options;
    const link = new Link(connection, {
      clock,
      limits,
      greeting: this.#greeting(connection.direction === 'outbound' ? ++this.#dials : 0),
      judge: (_link, remote) => this.#judge(entry, remote),
      onRefused: (refusal) => this.#options.introduction().onRefused(entry.peer, refusal),
      onUp: () => this.#onUp(entry, link),
      onDown: (_link, reason) => this.#onDown(entry, link, reason),
    });
    if (connection.status === 'open') entry.links.add(link);
  }

  /** The link that owns `connection`, if its peer is a member. */
  linkOf(connection: Connection): Link | undefined {
    const entry = this.#entries.get(connection.remotePeer.toString());
    for (const link of entry?.links ?? []) if (link.connection === connection) return link;
    return undefined;
  }

  /** The link in use with `peer`, without waiting. */
  active(peer: PeerId): Link | undefined {
    return this.#entries.get(peer)?.active;
  }

  /**
   * The link in use with `peer`, dialling if there is none. Rejects with not-admitted, with
   * peer-unreachable as soon as a dial failed, with deadline-exceeded or aborted.
   */
  async connect(peer: PeerId, options: RequestOptions): Promise<Link> {
    const entry = this.#entries.get(peer);
    if (entry === undefined) {
      throw new SkeinError('not-admitted', `${peer} is no member of this cluster`);
    }
    if (entry.active !== undefined) return entry.active;
    const { clock } = this.#options;
    if (
      entry.dialling === undefined &&
      entry.lastFailure &&
      clock.monotonicMs() < entry.nextDialMs
    ) {
      throw entry.lastFailure;
    }
    const dialled = this.#dial(entry);
    await waitFor(dialled, clock, options, `connecting to ${peer}`);
    const link = entry.active;
    if (link === undefined) throw entry.lastFailure ?? unreachable(peer, 'the connection broke');
    return link;
  }

  peers(): readonly PeerInfo[] {
    return [...this.#entries.values()].map((entry) => ({
      peer: entry.peer,
      connected: entry.active !== undefined,
      addresses: [...new Set([...entry.signed, ...entry.hints, ...entry.learned])],
    }));
  }

  /** Requests of ours that wait for an answer. */
  get outstanding(): number {
    let sum = 0;
    for (const { links } of this.#entries.values())
      for (const link of links) sum += link.outstanding;
    return sum;
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stopped = true;
    this.#ticker?.cancel();
    for (const entry of [...this.#entries.values()]) this.#remove(entry);
    this.#listeners.clear();
  }

  #add(peer: PeerId, hints: readonly string[]): void {
    const entry: Entry = {
      peer,
      hints,
      learned: [],
      signed: [],
      links: new Set(),
      active: undefined,
      dialling: undefined,
      attempt: 0,
      redial: undefined,
      lastFailure: undefined,
      nextDialMs: 0,
    };
    this.#entries.set(peer, entry);
    this.#scheduleDial(entry, this.#deferMs(peer));
  }

  #remove(entry: Entry): void {
    entry.redial?.cancel();
    this.#entries.delete(entry.peer);
    for (const link of [...entry.links]) link.close('the peer is no member any more');
  }

  /** Who has the lower id dials first, so that two nodes rarely dial each other at the same time. */
  #deferMs(peer: PeerId): number {
    return this.#options.self < peer ? 0 : this.#options.limits.dialDeferMs;
  }

  #greeting(sequence: number): Greeting {
    const addresses = this.#options.host.getMultiaddrs().map(String);
    const { start } = this.#options.introduction();
    return { incarnation: this.#options.incarnation, start, sequence, addresses };
  }

  /** A process that greets while another start of the same peer lives and answers is a copy. */
  async #judge(entry: Entry, remote: Greeting): Promise<Refusal | undefined> {
    const refusal = this.#options.introduction().judge(entry.peer, remote);
    if (refusal !== undefined) {
      this.#options.log.warn({ peer: entry.peer, ...refusal }, 'refused the greeting of a copy');
      return refusal;
    }
    const others = [...entry.links].filter(
      (link) => link.up && link.remote?.incarnation !== remote.incarnation,
    );
    const alive = await Promise.all(others.map((link) => link.probe()));
    const living = others.find((_, at) => alive[at]);
    if (living === undefined) return undefined;
    const where = living.connection.remoteAddr.toString();
    const detail = `another process with this key lives at ${where}`;
    this.#options.log.warn({ peer: entry.peer, where }, 'two processes speak with one key');
    return { kind: 'in-use', detail };
  }

  #scheduleDial(entry: Entry, delayMs: number): void {
    entry.redial?.cancel();
    if (this.#stopped || this.#entries.get(entry.peer) !== entry) return;
    entry.redial = this.#options.clock.after(delayMs, () => {
      entry.redial = undefined;
      if (entry.active === undefined) void this.#dial(entry).catch(() => {});
    });
  }

  #dial(entry: Entry): Promise<void> {
    entry.dialling ??= this.#tryDial(entry).finally(() => {
      entry.dialling = undefined;
      if (entry.active === undefined && entry.redial === undefined) {
        this.#scheduleDial(entry, this.#backoffMs(entry));
      }
    });
    return entry.dialling;
  }

  async #tryDial(entry: Entry): Promise<void> {
    const { host, clock, limits, log } = this.#options;
    try {
      const waiting = [...entry.links].find((link) => !link.up && !link.dialledByUs);
      if (waiting !== undefined) {
        await waiting.ready.catch(() => {});
        if (entry.active !== undefined) return;
      }
      const known = dialable(entry.peer, [...entry.signed, ...entry.hints, ...entry.learned]);
      if (known.length === 0) throw new Error('no address is known');
      const addresses = turned(known, entry.attempt);
      const connection = await host.dial(addresses, { signal: AbortSignal.timeout(limits.dialMs) });
      const link = this.linkOf(connection);
      if (link === undefined) throw new Error('the connection closed at once');
      await link.ready;
      entry.lastFailure = undefined;
    } catch (cause) {
      if (entry.active !== undefined) return;
      const reason = cause instanceof Error ? cause.message : String(cause);
      entry.lastFailure = unreachable(entry.peer, reason, cause);
      this.#options.metrics.dialFailed();
      entry.nextDialMs = clock.monotonicMs() + limits.redialInitialMs;
      log.debug({ peer: entry.peer, attempt: entry.attempt, reason }, 'a dial failed');
      throw entry.lastFailure;
    }
  }

  #backoffMs(entry: Entry): number {
    const { random, limits } = this.#options;
    const { redialInitialMs: initialMs, redialMaxMs: maxMs } = limits;
    return backoffMs(entry.attempt++, random, { initialMs, maxMs });
  }

  #onUp(entry: Entry, link: Link): void {
    entry.attempt = 0;
    entry.redial?.cancel();
    entry.redial = undefined;
    entry.learned = link.remote?.addresses ?? [];
    // Another start of the peer made the older links: they lead to a process that is gone.
    for (const other of [...entry.links]) {
      if (other.up && other.remote?.incarnation !== link.remote?.incarnation) {
        other.close('the peer started anew');
      }
    }
    this.#settle(entry);
  }

  #onDown(entry: Entry, link: Link, reason: string): void {
    if (!entry.links.delete(link)) return;
    const { log } = this.#options;
    log.debug({ peer: entry.peer, reason }, 'a connection ended');
    this.#settle(entry);
    if (entry.active === undefined && entry.redial === undefined && entry.dialling === undefined) {
      this.#scheduleDial(entry, this.#deferMs(entry.peer) + this.#backoffMs(entry));
    }
  }

  /** Decides which link is in use, marks the others surplus, and tells who listens. */
  #settle(entry: Entry): void {
    const previous = entry.active;
    const next = chooseLink([...entry.links], this.#options.self);
    const nowMs = this.#options.clock.monotonicMs();
    for (const link of entry.links) {
      if (link === next) link.surplusSinceMs = undefined;
      else if (link.up) link.surplusSinceMs ??= nowMs;
    }
    if (next === previous) return;
    entry.active = next;
    this.#options.onActive(entry.peer, next, previous);
    const sameLife = next?.remote?.incarnation === previous?.remote?.incarnation;
    if (previous !== undefined && !sameLife) this.#emit({ kind: 'disconnected', peer: entry.peer });
    if (next !== undefined && !sameLife) this.#emit({ kind: 'connected', peer: entry.peer });
  }

  #emit(event: PeerEvent): void {
    this.#options.log.debug(event, `peer ${event.kind}`);
    if (event.kind === 'disconnected') this.#options.metrics.peerLost();
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error({ error, ...event }, 'a peer listener failed');
      }
    }
  }

  #scheduleTick(): void {
    const { clock, limits } = this.#options;
    this.#ticker = clock.after(limits.heartbeatMs, () => {
      this.#tick();
      this.#scheduleTick();
    });
  }

  /**
   * Silence is counted in our own beats, not in time: a stall of this process, after which all that the
   * peers sent meanwhile is still unread, is one beat.
   */
  #tick(): void {
    const { clock, limits } = this.#options;
    const nowMs = clock.monotonicMs();
    const silentBeatsMax = Math.max(1, Math.ceil(limits.silenceMs / limits.heartbeatMs));
    for (const entry of this.#entries.values()) {
      for (const link of [...entry.links]) {
        link.heartbeat();
        if (link.silentBeats >= silentBeatsMax) link.close('the peer fell silent');
        else if (link.surplusSinceMs !== undefined) {
          link.leave();
          const late = nowMs - link.surplusSinceMs > limits.surplusStayMs;
          if (link.left || late) link.close('another connection took over');
        }
      }
    }
  }
}

function unreachable(peer: PeerId, reason: string, cause?: unknown): SkeinError {
  return new SkeinError('peer-unreachable', `cannot reach ${peer}: ${reason}`, {
    cause,
    retryable: true,
  });
}

/** The addresses as libp2p wants them: each ends with the peer's id; what is no address is left out. */
function dialable(peer: PeerId, addresses: readonly string[]): Multiaddr[] {
  const unique = new Map<string, Multiaddr>();
  for (const address of addresses) {
    const bare = address.replace(/\/p2p\/[^/]+$/, '');
    try {
      unique.set(bare, multiaddr(`${bare}/p2p/${peer}`));
    } catch {
      // A hint that cannot be read helps nobody; the others may.
    }
  }
  return [...unique.values()];
}

/**
 * One dial tries addresses one after the other and has no time for many that are dead: each attempt begins with
 * another one, the first with the best.
 */
function turned<T>(items: readonly T[], attempt: number): T[] {
  const start = attempt % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

/** Waits for `work` no longer than the caller wants; the work itself goes on for others. */
function waitFor(
  work: Promise<void>,
  clock: Clock,
  options: RequestOptions,
  what: string,
): Promise<void> {
  const { deadlineMs, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = () => signal && reject(abortError(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = clock.after(deadlineMs, () =>
      reject(
        new SkeinError('deadline-exceeded', `${what} took longer than ${deadlineMs} ms`, {
          retryable: true,
        }),
      ),
    );
    work.then(resolve, reject).finally(() => {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    });
  });
}
