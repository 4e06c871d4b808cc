/** The clients of a chaos run against a cluster in memory that is honest, and against ones that lie. */

import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { type Answer, type Api, type Call, NoAnswer } from '../../src/chaos/api-client.ts';
import { Clients } from '../../src/chaos/clients.ts';
import { compareWithBooks } from '../../src/chaos/ledger.ts';
import { type Random, seededRandom } from '../../src/lib/random.ts';

type Lie = 'none' | 'stale' | 'forgets' | 'twice' | 'mixes' | 'silent-watch';
type Stored = { metadata: { name: string; resourceVersion: string; uid: string }; data: object };
type Body = { metadata: { name: string; resourceVersion?: string }; data?: { value: string } };

const RUN_MS = 700;
const LIE = 0.08;

/** One copy of all objects, behind a network that loses questions and answers. */
class FakeCluster implements Api {
  readonly #objects = new Map<string, Stored>();
  readonly #former = new Map<string, Stored>();
  readonly #watchers = new Set<PassThrough>();
  readonly #random: Random;
  readonly #lie: Lie;
  #revision = 1;

  constructor(random: Random, lie: Lie) {
    this.#random = random;
    this.#lie = lie;
  }

  async call(_host: string, path: string, { method = 'GET', body }: Call = {}): Promise<Answer> {
    await this.#delay();
    const fate = this.#random.float();
    if (fate < 0.02) return answer(503, { reason: 'ServiceUnavailable' });
    if (fate < 0.04) throw new NoAnswer('refused', false);
    if (fate < 0.06) throw new NoAnswer('lost on the way there', true);
    const name = path.split('/')[6] ?? '';
    const answered = method === 'GET' ? this.#get(name) : this.#change(method, name, body as Body);
    await this.#delay();
    if (fate < 0.08) throw new NoAnswer('lost on the way back', true);
    if (fate < 0.1 && method !== 'GET') return answer(504, { reason: 'Timeout' });
    return answered;
  }

  async json<T>(): Promise<T> {
    return this.list() as T;
  }

  async stream(_host: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const from = Number(/resourceVersion=(\d+)/.exec(path)?.[1]);
    const stream = new PassThrough();
    for (const event of this.#events) if (event.revision > from) stream.write(event.line);
    this.#watchers.add(stream);
    signal.addEventListener('abort', () => {
      this.#watchers.delete(stream);
      stream.destroy();
    });
    return Object.assign(stream, { statusCode: 200 }) as unknown as IncomingMessage;
  }

  list() {
    const metadata = { resourceVersion: String(this.#revision) };
    return { metadata, items: [...this.#objects.values()] };
  }

  readonly #events: { readonly revision: number; readonly line: string }[] = [];

  #get(name: string): Answer {
    const lies = this.#random.chance(LIE);
    const former = this.#former.get(name);
    const object = this.#lie === 'stale' && lies && former ? former : this.#objects.get(name);
    if (object && this.#lie === 'mixes' && lies) {
      return answer(200, { ...object, data: { value: 'nobody wrote this' } });
    }
    return object ? answer(200, object) : answer(404, { reason: 'NotFound' });
  }

  #change(method: string, path: string, body: Body): Answer {
    const name = method === 'POST' ? body.metadata.name : path;
    const found = this.#objects.get(name);
    if (method === 'POST' && found) return answer(409, { reason: 'AlreadyExists' });
    if (method !== 'POST' && !found) return answer(404, { reason: 'NotFound' });
    const wanted = body?.metadata.resourceVersion;
    if (wanted !== undefined && wanted !== found?.metadata.resourceVersion) {
      return answer(409, { reason: 'Conflict' });
    }
    if (method === 'DELETE') {
      this.#objects.delete(name);
      this.#tell('DELETED', { ...(found as Stored), metadata: this.#meta(name) });
      return answer(200, {});
    }
    const lies = this.#random.chance(LIE);
    const object = this.#store(name, body.data ?? {}, found);
    if (this.#lie === 'forgets' && lies && found) this.#objects.set(name, found);
    // As a repeated proposal would.
    if (this.#lie === 'twice' && lies) {
      setTimeout(() => this.#store(name, body.data ?? {}, this.#objects.get(name)), 5);
    }
    return answer(method === 'POST' ? 201 : 200, object);
  }

  #store(name: string, data: object, found: Stored | undefined): Stored {
    const object = { metadata: this.#meta(name), data };
    if (found) this.#former.set(name, found);
    this.#objects.set(name, object);
    const silent = this.#lie === 'silent-watch' && this.#random.chance(LIE);
    if (!silent) this.#tell(found ? 'MODIFIED' : 'ADDED', object);
    return object;
  }

  #meta(name: string): Stored['metadata'] {
    return { name, resourceVersion: String(++this.#revision), uid: name };
  }

  #tell(type: string, object: Stored): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#events.push({ revision: Number(object.metadata.resourceVersion), line });
    for (const watcher of this.#watchers) watcher.write(line);
  }

  #delay(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#random.int(0, 2)));
  }
}

const answer = (code: number, body: object): Answer => ({
  code,
  headers: {},
  text: JSON.stringify(body),
});

/** Runs all clients against a cluster and collects whatever any check objects to. */
async function objections(lie: Lie, seed: number) {
  const random = seededRandom(seed);
  const cluster = new FakeCluster(random.fork(), lie);
  const clients = new Clients({
    client: cluster,
    hosts: ['node1', 'node2', 'node3'],
    namespace: 'n',
    random: random.fork(),
    onAcknowledged: () => {},
    excused: () => false,
    paceMs: 2,
  });
  await clients.run(AbortSignal.timeout(RUN_MS));
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { items } = cluster.list();
  const books = items.filter(({ metadata }) => !metadata.name.startsWith('register-'));
  const found = {
    answers: clients.wrongAnswers,
    histories: clients.checkHistories(),
    books: compareWithBooks(books as never, clients.ledgers),
    untold: clients.untold(),
  };
  await clients.end();
  return { found, tally: clients.tally };
}

const LIES = ['stale', 'forgets', 'twice', 'mixes', 'silent-watch'] as const;
/** All at once: what takes time is waiting. */
const [honest, ...liars] = await Promise.all([
  objections('none', 1),
  ...LIES.map((lie) => objections(lie, 2)),
]);

t.test('chaos: an honest cluster is not objected to, whatever the network loses', async (t) => {
  const { found, tally } = honest;
  t.strictSame(found, { answers: [], histories: [], books: [], untold: [] });
  const { writes, reads, conflicts, refused, unknown, unreached, events } = tally;
  t.ok(writes > 50 && reads > 50 && events > 50, 'much was done');
  t.ok(conflicts > 0 && refused > 0 && unknown > 0 && unreached > 0, 'of every outcome');
});

for (const [at, lie] of LIES.entries()) {
  t.test(`chaos: a cluster that lies is found out: ${lie}`, async (t) => {
    const { found } = liars[at] ?? honest;
    const { untold, histories } = found;
    const count = Object.values(found).reduce((sum, { length }) => sum + length, 0);
    t.ok(count > 0, JSON.stringify(found).slice(0, 300));
    if (lie === 'silent-watch') t.ok(untold.length > 0, 'by what the watch did not tell');
    if (lie === 'stale' || lie === 'twice') t.ok(histories.length > 0, 'by a history');
  });
}
