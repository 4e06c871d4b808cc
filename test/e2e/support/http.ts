/** HTTP requests from the machine or from a host, and a client that never pauses. */

import { request } from 'node:http';
import type { TestCluster } from './cluster.ts';

const DEADLINE_MS = 3000;

/** The body of a GET: from the machine itself, or from `host` (which reaches pods). Rejects unless it is a 200. */
export async function httpGet(
  cluster: TestCluster,
  host: string | undefined,
  url: string,
): Promise<string> {
  if (host !== undefined)
    return cluster.onHost(host, ['timeout', '3', 'busybox', 'wget', '-q', '-O-', url]);
  return get(url);
}

function get(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(url, { timeout: DEADLINE_MS, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
      });
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${url}: ${response.statusCode}`));
      });
    });
    call.once('timeout', () => call.destroy(new Error(`${url}: no answer in ${DEADLINE_MS} ms`)));
    call.once('error', reject);
    call.end();
  });
}

/** Asks `url` again and again until stopped; remembers every failure and who answered. */
export class ConstantRequests {
  readonly answers = new Map<string, number>();
  readonly failures: { readonly atMs: number; readonly error: string }[] = [];
  #running = true;
  readonly #done: Promise<void>;

  /** `width` requests are under way at any time. */
  constructor(url: string, width = 4) {
    const one = async (): Promise<void> => {
      while (this.#running) {
        try {
          const text = (await get(url)).trim();
          this.answers.set(text, (this.answers.get(text) ?? 0) + 1);
        } catch (error) {
          this.failures.push({ atMs: Date.now(), error: (error as Error).message });
        }
      }
    };
    this.#done = Promise.all(Array.from({ length: width }, one)).then(() => {});
  }

  get count(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }
}
