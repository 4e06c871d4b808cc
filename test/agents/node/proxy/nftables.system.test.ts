import { createInterface } from 'node:readline';
import t from 'tap';
import type { Nftables, NftListing } from '../../../../agents/node/proxy/ports.ts';
import { type ErrorCode, SkeinError } from '../../../../src/lib/errors.ts';
import { TestNamespaces } from '../../../support/netns.ts';
import { nftablesConformance } from './nftables-conformance.ts';

const WORKER = new URL('./nft-worker.ts', import.meta.url).pathname;

/** libnftables in a namespace of its own. */
class NamespacedNftables implements Nftables {
  readonly #ask: (request: object) => Promise<unknown>;

  constructor(ask: (request: object) => Promise<unknown>) {
    this.#ask = ask;
  }

  async run(script: string): Promise<void> {
    await this.#ask({ run: script });
  }

  async list(what: string): Promise<NftListing> {
    return (await this.#ask({ list: what })) as NftListing;
  }
}

const namespaces = new TestNamespaces();
await namespaces.add('nft');
const child = namespaces.start('nft', [process.execPath, WORKER]);
const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
const answers = lines[Symbol.asyncIterator]();
t.teardown(() => namespaces.end());

const nftables = new NamespacedNftables(async (request) => {
  child.stdin?.write(`${JSON.stringify(request)}\n`);
  const { value, done } = await answers.next();
  if (done) throw new Error('the worker ended');
  const answer = JSON.parse(value) as { value?: unknown; code?: ErrorCode; message?: string };
  if (answer.message === undefined) return answer.value;
  throw new SkeinError(answer.code ?? 'network-failed', answer.message);
});

nftablesConformance('libnftables', async () => nftables);
