/**
 * Who may connect. Members may do everything; a stranger may stay for a few seconds, and only while
 * joining is enabled; whoever we ourselves asked to let us join may be dialled. Everyone else is
 * refused as soon as the handshake shows who they are.
 */

import type { Connection, ConnectionGater, PeerId as Libp2pPeerId } from '@libp2p/interface';
import type { Clock, Timer } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { MeshLimits } from './limits.ts';
import type { PeerId } from './types.ts';

export class Admission {
  readonly #self: PeerId;
  readonly #limits: MeshLimits;
  readonly #clock: Clock;
  #members: ReadonlyMap<PeerId, readonly string[]> = new Map();
  /** Peers we dial in order to join, with the number of attempts under way. */
  readonly #sponsors = new Map<PeerId, number>();
  readonly #strangers = new Map<Connection, Timer>();
  #strangersAllowed = false;

  constructor(self: PeerId, limits: MeshLimits, clock: Clock) {
    this.#self = self;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Replaces the set of members. The caller cuts the connections of those who left. */
  set members(members: ReadonlyMap<PeerId, readonly string[]>) {
    this.#members = new Map(members);
  }

  get members(): ReadonlyMap<PeerId, readonly string[]> {
    return this.#members;
  }

  isMember(peer: PeerId): boolean {
    return peer !== this.#self && this.#members.has(peer);
  }

  /** Lets strangers in, for the join protocol only. */
  allowStrangers(allowed: boolean): void {
    this.#strangersAllowed = allowed;
    if (allowed) return;
    for (const connection of [...this.#strangers.keys()])
      this.#dismiss(connection, 'joining ended');
  }

  /** Allows dialling `peer`, no member yet, until the returned function is called. */
  sponsor(peer: PeerId): () => void {
    this.#sponsors.set(peer, (this.#sponsors.get(peer) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#sponsors.get(peer) ?? 1) - 1;
      if (left === 0) this.#sponsors.delete(peer);
      else this.#sponsors.set(peer, left);
    };
  }

  isSponsor(peer: PeerId): boolean {
    return this.#sponsors.has(peer);
  }

  /** True if a connection with `peer` may exist at all. */
  mayConnect(peer: PeerId, direction: 'inbound' | 'outbound'): boolean {
    if (this.isMember(peer)) return true;
    if (direction === 'outbound') return this.#sponsors.has(peer);
    return this.#strangersAllowed && this.#strangers.size < this.#limits.strangersMax;
  }

  /** Takes a stranger's new connection under watch: it is cut when its time is over. */
  watchStranger(connection: Connection): void {
    const timer = this.#clock.after(this.#limits.strangerStayMs, () =>
      this.#dismiss(connection, 'a peer that is no member may stay for a short time only'),
    );
    this.#strangers.set(connection, timer);
  }

  /** Connections of strangers. */
  get strangers(): number {
    return this.#strangers.size;
  }

  isStranger(connection: Connection): boolean {
    return this.#strangers.has(connection);
  }

  forgetStranger(connection: Connection): void {
    this.#strangers.get(connection)?.cancel();
    this.#strangers.delete(connection);
  }

  /** The hooks libp2p calls while a connection comes about. */
  gater(): ConnectionGater {
    const denied = (direction: 'inbound' | 'outbound') => (peer: Libp2pPeerId) =>
      !this.mayConnect(peer.toString(), direction);
    return {
      denyDialPeer: denied('outbound'),
      denyOutboundEncryptedConnection: denied('outbound'),
      denyInboundEncryptedConnection: denied('inbound'),
      // The default refuses private addresses when dialling in some environments; ours are private.
      denyDialMultiaddr: () => false,
    };
  }

  #dismiss(connection: Connection, reason: string): void {
    this.forgetStranger(connection);
    connection.abort(new SkeinError('not-admitted', reason));
  }
}
