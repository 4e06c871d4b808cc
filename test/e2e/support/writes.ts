/** One client that writes ConfigMaps one after the other and knows which were acknowledged, and how long each took. */

import type { ApiClient } from '../../../src/chaos/api-client.ts';
import { waitFor } from './cluster.ts';

/** Enough to see that things go on. */
const WRITES_AFTER = 10;

export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

type List = { readonly items: readonly { readonly metadata: { readonly name: string } }[] };

/** Milliseconds as a line for the test's output: median, worst, all. */
export function figures(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const all = sorted.map((ms) => ms.toFixed(0)).join(' ');
  return `median ${median(times).toFixed(0)} ms, worst ${sorted.at(-1)?.toFixed(0)} ms (${all})`;
}

export function median(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Names must never come twice: give each test its own prefix. */
export class Writes {
  readonly acknowledged: string[] = [];
  readonly #client: ApiClient;

  constructor(client: ApiClient) {
    this.#client = client;
  }

  /** One write at one host; true when acknowledged. */
  async write(host: string, name: string): Promise<boolean> {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { name } };
    const code = await this.#client.call(host, CONFIG_MAPS, { method: 'POST', body }).then(
      (answer) => answer.code,
      () => 0,
    );
    // A write whose first answer was lost is refused as existing: then it counts, as it is there.
    if (code !== 201 && code !== 409) return false;
    this.acknowledged.push(name);
    return true;
  }

  /** Milliseconds until a write through `host` is acknowledged. */
  async until(host: string, name: string): Promise<number> {
    const started = performance.now();
    await waitFor('an acknowledged write', () => this.write(host, name));
    return performance.now() - started;
  }

  /** Writes through `host` while `work` runs and a little longer; the slowest write, in milliseconds. */
  async slowestWhile(host: string, prefix: string, work: () => Promise<void>): Promise<number> {
    let working = true;
    const done = work().finally(() => {
      working = false;
    });
    let slowest = 0;
    for (let count = 0, after = 0; after < WRITES_AFTER; count++) {
      if (!working) after++;
      slowest = Math.max(slowest, await this.until(host, `${prefix}-${count}`));
    }
    await done;
    return slowest;
  }

  /** Acknowledged writes that `host` does not show. */
  async missingAt(host: string): Promise<readonly string[]> {
    const list = await this.#client.json<List>(host, CONFIG_MAPS);
    const names = new Set(list.items.map(({ metadata }) => metadata.name));
    return this.acknowledged.filter((name) => !names.has(name));
  }
}
