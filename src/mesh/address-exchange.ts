/**
 * How members tell each other where everybody is: whoever connects is sent all records, and what is news to a member it
 * passes on to all it is connected with. A record stops where it is known, so each travels each link about once.
 */

import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { AddressBook } from './address-book.ts';
import type { AddressRecord } from './address-record.ts';
import type { PeerId } from './types.ts';

/** The request that carries records. */
export const ADDRESSES_METHOD = 'mesh.addresses';
const RECORDS_PER_REQUEST = 256;
const DEADLINE_MS = 10_000;

export type AddressExchangeOptions = {
  readonly book: AddressBook;
  readonly log: Logger;
  readonly request: (peer: PeerId, body: unknown, deadlineMs: number) => Promise<unknown>;
  /** Members that are connected at this moment. */
  readonly connected: () => readonly PeerId[];
  /** A member says that it can be dialled elsewhere. */
  readonly onNews: (record: AddressRecord) => void;
};

export class AddressExchange {
  readonly #options: AddressExchangeOptions;

  constructor(options: AddressExchangeOptions) {
    this.#options = options;
  }

  /** Tells a peer that has just connected all we know. */
  greet(peer: PeerId): void {
    this.#tell(peer, this.#options.book.records);
  }

  /** Takes records from a request's body, or a datagram. */
  async take(envelopes: readonly Uint8Array[], from: PeerId | undefined): Promise<void> {
    const news = await this.#options.book.learn(envelopes);
    this.announce(news, from);
  }

  /** Serves the request. */
  async serve(body: unknown, from: PeerId): Promise<unknown> {
    const { records } = (body ?? {}) as { records?: unknown };
    const list = Array.isArray(records) ? records.slice(0, RECORDS_PER_REQUEST) : [];
    await this.take(
      list.filter((record) => record instanceof Uint8Array),
      from,
    );
    return {};
  }

  /** Acts on news and passes them on. */
  announce(news: readonly AddressRecord[], from: PeerId | undefined): void {
    if (news.length === 0) return;
    for (const record of news) this.#options.onNews(record);
    for (const peer of this.#options.connected()) {
      if (peer === from) continue;
      this.#tell(
        peer,
        news.filter((record) => record.peer !== peer),
      );
    }
  }

  #tell(peer: PeerId, records: readonly AddressRecord[]): void {
    for (let at = 0; at < records.length; at += RECORDS_PER_REQUEST) {
      const page = records.slice(at, at + RECORDS_PER_REQUEST).map(({ envelope }) => envelope);
      this.#options.request(peer, { records: page }, DEADLINE_MS).catch((error: unknown) => {
        // Its next connection brings them again; members of the first release do not serve it.
        this.#options.log.debug({ peer, reason: messageOf(error) }, 'addresses were not taken');
      });
    }
  }
}
