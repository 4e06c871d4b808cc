/**
 * The newest address record of each member, kept on disk: when all members have moved, one that finds any other finds
 * all. What is in the file is checked like what comes from the network.
 */

import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { type AddressRecord, isSigned, readAddresses, sealAddresses } from './address-record.ts';
import type { Identity } from './identity.ts';
import type { PeerId } from './types.ts';

export type AddressBookComponents = {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whose records are kept. */
  readonly isMember: (peer: PeerId) => boolean;
};

/** Most members whose records are kept. */
const RECORDS_MAX = 4096;
/** A file is written this long after the first change it has to hold. */
const SAVE_AFTER_MS = 1000;

export class AddressBook {
  readonly #components: AddressBookComponents;
  readonly #path: string | undefined;
  readonly #records = new Map<PeerId, AddressRecord>();
  /** From the file, until it is known who is a member. */
  #stored: AddressRecord[] = [];
  #own: AddressRecord | undefined;
  #saving: Timer | undefined;
  #writing = Promise.resolve();

  /** @param path where records are kept; undefined: nowhere. */
  constructor(components: AddressBookComponents, path: string | undefined) {
    this.#components = components;
    this.#path = path;
  }

  /** Reads the file. A record of ours in it is used again if it still says where we are. */
  async open(addresses: readonly string[]): Promise<void> {
    const { identity, clock } = this.#components;
    const stored = await this.#read();
    const former = stored.find(({ peer }) => peer === identity.id);
    this.#stored = stored.filter(({ peer }) => peer !== identity.id);
    const fresh = await sealAddresses(
      identity,
      addresses,
      // A clock that was set back must not make us older than we were.
      Math.max((former?.sequence ?? 0) + 1, Math.round(clock.nowMs())),
    );
    const same = former?.addresses.join() === fresh.addresses.join();
    this.#own = same ? former : fresh;
    if (!same) this.#save();
  }

  /** Our own record. */
  get own(): AddressRecord | undefined {
    return this.#own;
  }

  /** All records, our own among them. */
  get records(): readonly AddressRecord[] {
    const own = this.#own === undefined ? [] : [this.#own];
    return [...own, ...this.#records.values()];
  }

  addressesOf(peer: PeerId): readonly string[] {
    return this.#records.get(peer)?.addresses ?? [];
  }

  /** Takes envelopes from anywhere; returns the records that were news: of members, newer than ours, signed. */
  async learn(envelopes: readonly Uint8Array[]): Promise<readonly AddressRecord[]> {
    const news: AddressRecord[] = [];
    for (const envelope of envelopes) {
      const record = readAddresses(envelope);
      // Cheap checks first: a signature costs a good part of a millisecond.
      if (record === undefined || !this.#isNews(record) || !(await isSigned(record))) continue;
      if (!this.#isNews(record)) continue;
      this.#records.set(record.peer, record);
      news.push(record);
    }
    if (news.length > 0) this.#save();
    return news;
  }

  /** The members changed: forgets who left, and remembers what the file said of who came. Returns what it said. */
  async follow(members: ReadonlySet<PeerId>): Promise<readonly AddressRecord[]> {
    for (const peer of this.#records.keys()) if (!members.has(peer)) this.#records.delete(peer);
    const known = this.#stored.filter(({ peer }) => members.has(peer));
    this.#stored = this.#stored.filter(({ peer }) => !members.has(peer));
    return this.learn(known.map(({ envelope }) => envelope));
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.#saving !== undefined) {
      this.#saving.cancel();
      this.#write();
    }
    await this.#writing;
  }

  #isNews({ peer, sequence }: AddressRecord): boolean {
    if (peer === this.#components.identity.id || !this.#components.isMember(peer)) return false;
    const known = this.#records.get(peer);
    if (known === undefined) return this.#records.size < RECORDS_MAX;
    return sequence > known.sequence;
  }

  #save(): void {
    if (this.#path === undefined) return;
    this.#saving ??= this.#components.clock.after(SAVE_AFTER_MS, () => this.#write());
  }

  #write(): void {
    this.#saving = undefined;
    const path = this.#path;
    if (path === undefined) return;
    const all = [...this.records, ...this.#stored];
    const lines = all.map(({ envelope }) => Buffer.from(envelope).toString('base64'));
    this.#writing = this.#writing
      .then(() => replaceFile(path, `${lines.join('\n')}\n`))
      .catch((error: unknown) => {
        this.#components.log.warn({ error: messageOf(error) }, 'addresses could not be saved');
      });
  }

  async #read(): Promise<AddressRecord[]> {
    if (this.#path === undefined) return [];
    const text = await readFile(this.#path, 'utf8').catch(() => '');
    const envelopes = text
      .split('\n')
      .slice(0, RECORDS_MAX + 1)
      .map((line) => Buffer.from(line, 'base64'));
    const records = envelopes.map(readAddresses).filter((record) => record !== undefined);
    return records;
  }
}

/** Hints need no sync: a file that is lost with the power costs a search. */
async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(temporary, content, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
