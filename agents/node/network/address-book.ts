/**
 * The address each pod had last, so that it gets the same one when its sandbox is made anew: after a reboot of a node that is
 * cut off, the Services that this node knows still name the old one. A hint: losing it costs a pod its address and nothing else.
 */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Twice the pods of a full node; the oldest are forgotten. */
const PODS_MAX = 256;

export class AddressBook {
  readonly #path: string;
  #addresses: Promise<Map<string, string>> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** The address that the pod of this uid had last. */
  async of(podUid: string): Promise<string | undefined> {
    return (await this.#load()).get(podUid);
  }

  /** Rejects when the file cannot be written. */
  async remember(podUid: string, address: string): Promise<void> {
    const addresses = await this.#load();
    if (addresses.get(podUid) === address) return;
    addresses.delete(podUid);
    addresses.set(podUid, address);
    for (const oldest of addresses.keys()) {
      if (addresses.size <= PODS_MAX) break;
      addresses.delete(oldest);
    }
    const text = JSON.stringify(Object.fromEntries(addresses));
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write(text));
    await this.#writing;
  }

  #load(): Promise<Map<string, string>> {
    this.#addresses ??= readFile(this.#path, 'utf8').then(
      (text) => parse(text),
      () => new Map(),
    );
    return this.#addresses;
  }

  async #write(text: string): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    await writeFile(`${this.#path}.new`, text, { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}

function parse(text: string): Map<string, string> {
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(entries.flatMap(([uid, ip]) => (typeof ip === 'string' ? [[uid, ip]] : [])));
  } catch {
    return new Map();
  }
}
