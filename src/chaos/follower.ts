/**
 * A client that follows a collection by watching, as informers do: when its host dies or goes silent it goes on at
 * another from the last revision it saw. What it knows must equal what a list says.
 */

import type { Random } from '../lib/random.ts';
import type { Api } from './api-client.ts';
import type { ConfigMap } from './ledger.ts';

type WatchEvent = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: ConfigMap & { readonly code?: number };
};

export type FollowerOptions = {
  readonly client: Api;
  readonly hosts: readonly string[];
  readonly path: string;
  readonly random: Random;
};

/** A host is left after this long, well or not: going elsewhere is what is tried. */
const STAY_MS_MAX = 4_000;
/** The code of an error for a revision that is too old. */
const GONE = 410;

/** Call begin, then follow. */
export class Follower {
  /** What it knows, by name: the revision. */
  readonly known = new Map<string, string>();
  /** Events in an impossible order, in words. Must stay empty. */
  readonly faults: string[] = [];
  /** Every revision an event told of. */
  readonly told = new Set<number>();
  /** Where it began, for good or anew: what is older it need not have been told. */
  beganAt = 0;
  readonly tally = { events: 0, resumed: 0, relisted: 0 };
  revision = 0;
  #expired = false;
  readonly #options: FollowerOptions;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Lists once: where following begins. */
  async begin(): Promise<void> {
    const { client, path, random, hosts } = this.#options;
    const list = await client.json<{
      metadata: { resourceVersion: string };
      items: readonly ConfigMap[];
    }>(random.pick(hosts), path);
    this.revision = Number(list.metadata.resourceVersion);
    this.beganAt = this.revision;
    this.known.clear();
    for (const { metadata } of list.items) this.known.set(metadata.name, metadata.resourceVersion);
  }

  async follow(signal: AbortSignal): Promise<void> {
    const { random, hosts } = this.#options;
    while (!signal.aborted) {
      const stay = AbortSignal.timeout(random.int(STAY_MS_MAX / 4, STAY_MS_MAX));
      await this.#watch(random.pick(hosts), AbortSignal.any([signal, stay])).catch(() => {});
      if (this.#expired) {
        await this.begin().then(
          () => {
            this.#expired = false;
            this.tally.relisted++;
          },
          () => {},
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #watch(host: string, signal: AbortSignal): Promise<void> {
    const { client, path } = this.#options;
    const query = `watch=true&allowWatchBookmarks=true&resourceVersion=${this.revision}`;
    const response = await client.stream(host, `${path}?${query}`, signal);
    if (response.statusCode !== 200) {
      this.#expired = response.statusCode === GONE;
      response.destroy();
      return;
    }
    this.tally.resumed++;
    let rest = '';
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#take(JSON.parse(line) as WatchEvent, host);
    }
  }

  #take({ type, object }: WatchEvent, host: string): void {
    if (type === 'ERROR') {
      // What it saw last is no longer kept there: an informer lists anew, and so does this.
      this.#expired = object.code === GONE;
      if (this.#expired) return;
      this.faults.push(`${host} ended the watch from ${this.revision}: ${JSON.stringify(object)}`);
      return;
    }
    const { name, resourceVersion } = object.metadata;
    const revision = Number(resourceVersion);
    const held = this.known.get(name);
    if (type !== 'BOOKMARK' && revision <= this.revision) {
      this.faults.push(`${host}: ${type} ${name} at ${revision} came after ${this.revision}`);
    }
    this.revision = Math.max(this.revision, revision);
    if (type === 'BOOKMARK') return;
    this.tally.events++;
    this.told.add(revision);
    if ((type === 'ADDED') !== (held === undefined)) {
      this.faults.push(`${host}: ${type} of ${name}, which was ${held ?? 'absent'}`);
    }
    if (type === 'DELETED') this.known.delete(name);
    else this.known.set(name, resourceVersion);
  }
}
