/**
 * Where members are, beside what the replicated state says of it: signed records that they pass on to each other and
 * keep on disk, and calls on the local network when too few of them can be reached.
 */

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { AddressBook } from './address-book.ts';
import { AddressExchange } from './address-exchange.ts';
import type { Identity } from './identity.ts';
import { type DiscoveryOptions, LocalDiscovery } from './local-discovery.ts';
import type { PeerId, PeerInfo } from './types.ts';

export type WhereaboutsComponents = {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly isMember: (peer: PeerId) => boolean;
  readonly peers: () => readonly PeerInfo[];
  /** Sends records to a connected member. */
  readonly request: (peer: PeerId, body: unknown, deadlineMs: number) => Promise<unknown>;
  /** A member is to be looked for at these addresses, now if it is not connected. */
  readonly locate: (peer: PeerId, addresses: readonly string[]) => void;
};

export type WhereaboutsOptions = {
  /** The file that keeps records. Default: none. */
  readonly addressBook?: string | undefined;
  /** How to look for members on the local network when too few can be reached. Default: not at all. */
  readonly discovery?: DiscoveryOptions | undefined;
};

export class Whereabouts {
  readonly #components: WhereaboutsComponents;
  readonly #book: AddressBook;
  readonly #exchange: AddressExchange;
  readonly #discovery: LocalDiscovery | undefined;

  constructor(components: WhereaboutsComponents, options: WhereaboutsOptions) {
    const { clock, log, isMember, request, locate } = components;
    this.#components = components;
    const book = new AddressBook(components, options.addressBook);
    this.#book = book;
    this.#exchange = new AddressExchange({
      book,
      log,
      request,
      connected: () => this.#connected(),
      onNews: ({ peer, addresses }) => locate(peer, addresses),
    });
    if (options.discovery === undefined) return;
    this.#discovery = new LocalDiscovery({
      clock,
      log,
      ...options.discovery,
      isMember,
      own: () => book.own,
      reach: () => ({ members: components.peers().length, connected: this.#connected().length }),
      onCall: ({ peer, envelope }) => void this.#called(peer, envelope),
    });
  }

  /** Begins with our own addresses; without any there is nothing to tell. */
  async start(addresses: readonly string[]): Promise<void> {
    if (addresses.length > 0) await this.#book.open(addresses);
    await this.#discovery?.start();
  }

  /** The members are these now. */
  async follow(members: ReadonlySet<PeerId>): Promise<void> {
    const known = await this.#book.follow(members);
    // What the file of the last start says of them is news to nobody but us.
    for (const { peer, addresses } of known) this.#components.locate(peer, addresses);
  }

  /** Tells a member that has just connected where everybody is. */
  greet(peer: PeerId): void {
    this.#exchange.greet(peer);
  }

  /** Serves `ADDRESSES_METHOD`. */
  serve(body: unknown, from: PeerId): Promise<unknown> {
    return this.#exchange.serve(body, from);
  }

  async stop(): Promise<void> {
    this.#discovery?.stop();
    await this.#book.close();
  }

  #connected(): readonly PeerId[] {
    return this.#components.peers().flatMap(({ peer, connected }) => (connected ? [peer] : []));
  }

  async #called(peer: PeerId, envelope: Uint8Array): Promise<void> {
    await this.#exchange.take([envelope], undefined);
    // It calls, so it is up; that it is no news where does not mean that we have reached it there.
    const addresses = this.#book.addressesOf(peer);
    if (addresses.length > 0 && !this.#connected().includes(peer)) {
      this.#components.locate(peer, addresses);
    }
  }
}
