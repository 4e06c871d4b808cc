/**
 * What a controller did and its cache may not show yet. As long as a create or delete of an owner is not
 * reflected, counting the cache would do it again. The client waits for its own writes to arrive, so this rarely
 * holds anything up; it is what makes the count safe when the wait was cut short.
 */

import { isNotFound } from '../../src/client/errors.ts';
import type { Client } from '../../src/client/types.ts';
import type { Pod } from './kinds.ts';

type Expected = {
  readonly kind: 'created' | 'deleted';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
};

/** Owners with outstanding expectations at most; past it the oldest are dropped and rely on the client's wait. */
const OWNERS_MAX = 10_000;

/** Outstanding creates and deletes of pods, by owner key. */
export class PodExpectations {
  readonly #client: Client;
  readonly #byOwner = new Map<string, Map<string, Expected>>();

  constructor(client: Client) {
    this.#client = client;
  }

  created(owner: string, pod: Pod): void {
    this.#expect(owner, 'created', pod);
  }

  deleted(owner: string, pod: Pod): void {
    this.#expect(owner, 'deleted', pod);
  }

  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }

  /**
   * True when the cache shows everything this owner's controller did. What the cache lacks is looked up, so
   * that a pod that came and went unseen is not waited for.
   */
  async satisfied(owner: string): Promise<boolean> {
    const expected = this.#byOwner.get(owner);
    if (!expected) return true;
    for (const entry of expected.values()) {
      if (this.#visible(entry) || !(await this.#stillTrue(entry))) expected.delete(entry.uid);
    }
    if (expected.size > 0) return false;
    this.#byOwner.delete(owner);
    return true;
  }

  #expect(owner: string, kind: Expected['kind'], pod: Pod): void {
    const { namespace = '', name, uid = '' } = pod.metadata;
    const entry = { kind, namespace, name, uid };
    if (this.#visible(entry)) return;
    const expected = this.#byOwner.get(owner) ?? new Map<string, Expected>();
    expected.set(uid, entry);
    this.#byOwner.set(owner, expected);
    if (this.#byOwner.size <= OWNERS_MAX) return;
    const [oldest] = this.#byOwner.keys();
    if (oldest !== undefined) this.#byOwner.delete(oldest);
  }

  #visible({ kind, namespace, name, uid }: Expected): boolean {
    const cached = this.#client.informer('Pod').get({ namespace, name });
    if (kind === 'created') return cached?.metadata.uid === uid;
    return cached?.metadata.uid !== uid || cached.metadata.deletionTimestamp !== undefined;
  }

  async #stillTrue({ kind, namespace, name, uid }: Expected): Promise<boolean> {
    let live: Pod | undefined;
    try {
      live = await this.#client.get('Pod', { namespace, name });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (kind === 'created') return live?.metadata.uid === uid;
    return live?.metadata.uid !== uid || live.metadata.deletionTimestamp !== undefined;
  }
}
