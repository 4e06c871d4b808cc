import t from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { ClusterKey } from '../../src/sealing/cluster-key.ts';
import { encodeRecord, type SealingRecord } from '../../src/sealing/record.ts';
import { type CommandResult, encodeCommand } from '../../src/store/commands.ts';
import { applyAtOnce } from '../../src/store/local-store.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { SEALING_KEY } from '../../src/store/sealing.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { put } from '../support/store-values.ts';

const WORD = 'correct-horse-battery-staple';
const SECRET = '/core/secrets/default/words';
const clusterKey = ClusterKey.generate();

const recordOf = (fields: Partial<SealingRecord> = {}): Buffer =>
  encodeRecord({ key: clusterKey.makeDataKey(), kinds: ['secrets'], madeAt: 'now', ...fields });
const putRecord = (record: Buffer): Operation => ({
  op: 'put',
  key: SEALING_KEY,
  value: record,
  revisionOffset: -1,
});
const founded = (record = recordOf()): StoreState => {
  const state = new StoreState({ clusterKey });
  state.found(record);
  return state;
};

/** A replica with its log, and a writer of its own. */
class Replica {
  readonly state: StoreState;
  readonly log: Uint8Array[] = [];
  #sequence = 0;

  constructor(state: StoreState) {
    this.state = state;
  }

  /** Writes as somebody whose replica is `author`. */
  write(operations: readonly Operation[], author = this.state): CommandResult {
    const origin = { client: 'c', sequence: ++this.#sequence, acknowledged: 0, born: 0 };
    const transaction = { checks: [], operations };
    return this.apply(
      encodeCommand({ ...origin, kind: 'transaction', transaction }, author.sealing.inForce),
    );
  }

  apply(data: Uint8Array): CommandResult {
    this.log.push(data);
    const index = asIndex(this.state.appliedIndex + 1);
    return this.state.apply([{ index, term: asTerm(1), data }])[0] ?? { kind: 'expired' };
  }
}

async function snapshotOf(state: StoreState): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of state.snapshot().chunks()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function restored(
  bytes: Buffer,
  key: ClusterKey | undefined = clusterKey,
): Promise<StoreState> {
  const state = new StoreState(key ? { clusterKey: key } : {});
  await state.restore(
    (async function* () {
      yield bytes;
    })(),
  );
  return state;
}

const shows = (bytes: Uint8Array): boolean =>
  [WORD, Buffer.from(WORD).toString('base64').slice(0, -4)].some((text) =>
    Buffer.from(bytes).includes(text),
  );
const secret = (word = WORD): Operation => put(SECRET, { data: { word } });

t.test(
  'sealing: secrets are plain in memory, and neither in the log nor in a snapshot',
  async (t) => {
    const replica = new Replica(founded());
    const note = put('/core/configmaps/default/note', { data: { word: 'nothing-special' } });
    t.strictSame(replica.write([secret(), note]), { kind: 'committed', revision: 2 });
    const token = { op: 'put', key: '/skein/join-tokens//1', revisionOffset: -1 } as const;
    replica.write([{ ...token, value: Buffer.from(`{"secret":"${WORD}"}`) }]);
    const held = replica.state.get(SECRET);
    t.match(held?.object, { metadata: { resourceVersion: '2' }, data: { word: WORD } });
    t.match(replica.state.get(token.key)?.object, { secret: WORD }, 'tokens to join as well');
    const bytes = await snapshotOf(replica.state);
    t.notOk(replica.log.some(shows), 'the log');
    t.notOk(shows(bytes), 'the snapshot');
    t.ok(bytes.includes('nothing-special'), 'other kinds are as they were');
    const copy = await restored(bytes);
    t.strictSame(copy.get(SECRET)?.bytes, held?.bytes);
    t.equal(copy.sealing.since, replica.state.sealing.since);
  },
);

t.test(
  'sealing: a founder that died before its first entry returns under its first key',
  async (t) => {
    const bytes = await snapshotOf(founded());
    const again = founded();
    const first = again.sealing.inForce?.record.key?.id;
    await again.restore(
      (async function* () {
        yield bytes;
      })(),
    );
    t.not(again.sealing.inForce?.record.key?.id, first);
    t.ok((await snapshotOf(again)).equals(bytes));
    t.equal(again.oldestRevision(), 1, 'and nothing of the second attempt can be watched');
  },
);

t.test('sealing: equal states give equal snapshots, whatever way they came about', async (t) => {
  const first = new Replica(founded());
  for (let n = 0; n < 40; n++) first.write([put(`/core/secrets/default/s${n}`, { n, WORD })]);
  const early = await restored(await snapshotOf(first.state));
  first.write([secret()]);
  const late = new Replica(early);
  late.apply(first.log.at(-1) ?? Buffer.alloc(0));
  t.ok((await snapshotOf(late.state)).equals(await snapshotOf(first.state)));
});

t.test(
  'sealing: no two values share a nonce, in the log and in snapshots, though all say the same',
  async (t) => {
    const replica = new Replica(founded());
    const key = replica.state.sealing.inForce;
    const nonces = new Set<string>();
    let seals = 0;
    for (let sequence = 1; sequence <= 200; sequence++) {
      const operations = [secret(), secret(), put(`${SECRET}${sequence}`, {})];
      const sealed = key?.sealOperations(
        { client: 'c', sequence, acknowledged: 0, born: 0 },
        operations,
      );
      for (const operation of sealed?.operations ?? []) {
        if (operation.op === 'put')
          nonces.add(Buffer.from(operation.value.subarray(0, 12)).toString('hex'));
      }
      replica.write(operations);
      const object = replica.state.get(SECRET);
      const row = object && key?.sealObject(SECRET, object.revision, object.bytes);
      nonces.add(row?.subarray(0, 12).toString('hex') ?? '');
      seals += 4;
    }
    t.equal(nonces.size, seals);
  },
);

t.test(
  'sealing: a new key comes into force at one place of the log, on every replica',
  async (t) => {
    const replica = new Replica(founded());
    replica.write([secret('before')]);
    const behind = await restored(await snapshotOf(replica.state));
    let changes = 0;
    replica.state.sealing.onChange(() => changes++);
    replica.write([putRecord(recordOf())]);
    t.equal(changes, 1);
    t.equal(replica.state.sealing.since, replica.state.appliedIndex);
    t.strictSame(replica.write([secret('late')], behind), { kind: 'stale-key' });
    t.match(
      replica.state.get(SECRET)?.object,
      { data: { word: 'before' } },
      'nothing of it is done',
    );
    t.equal(
      replica.state.sealing.since,
      replica.state.appliedIndex,
      'but its bytes are in the log',
    );
    t.strictSame(replica.write([put('/core/configmaps/default/c', {})], behind).kind, 'committed');
    t.match(replica.write([secret('after')]), { kind: 'committed' });
    const follower = new Replica(await restored(await snapshotOf(founded())));
    t.equal(follower.state.sealing.since, 0);
  },
);

t.test('sealing: a retry of what was applied under an earlier key gets its result', async (t) => {
  const replica = new Replica(founded());
  const result = replica.write([secret()]);
  replica.write([putRecord(recordOf())]);
  t.strictSame(replica.apply(replica.log[0] ?? Buffer.alloc(0)), result);
});

t.test(
  'sealing: where it is on, a secret in plain is refused; where it is off, it is plain',
  async (t) => {
    const plain = new StoreState({ clusterKey });
    const replica = new Replica(new StoreState({ clusterKey }));
    t.match(replica.write([secret('first')]), { kind: 'committed' });
    t.ok((await snapshotOf(replica.state)).includes('first'), 'a cluster of the first release');
    replica.write([putRecord(recordOf())]);
    t.notOk((await snapshotOf(replica.state)).includes('first'), 'taken over by the next snapshot');
    t.strictSame(replica.write([secret()], plain), { kind: 'stale-key' });
    replica.write([putRecord(recordOf({ key: null }))]);
    replica.write([secret('off')]);
    const bytes = await snapshotOf(replica.state);
    t.ok(bytes.includes('off'));
    t.match((await restored(bytes)).get(SECRET)?.object, { data: { word: 'off' } });
  },
);

t.test('sealing: other kinds can be sealed as well, of any group', async (t) => {
  const replica = new Replica(founded(recordOf({ kinds: ['configmaps', 'widgets.example.com'] })));
  replica.write([put('/core/configmaps/default/c', { WORD })]);
  replica.write([put('/example.com/widgets//w', { WORD })]);
  t.notOk(replica.log.some(shows));
  replica.write([put('/example.com/widgetsets//w', { WORD })]);
  t.ok(shows(replica.log.at(-1) ?? Buffer.alloc(0)), 'and no other');
});

t.test('sealing: a member without the key refuses, and loses nothing by it', async (t) => {
  const replica = new Replica(founded());
  replica.write([secret()]);
  const bytes = await snapshotOf(replica.state);
  await t.rejects(restored(bytes, ClusterKey.generate()), {
    code: 'key-missing',
    message: /cluster\.json/,
  });
  const stranger = new StoreState();
  const stream = (async function* () {
    yield bytes;
  })();
  await t.rejects(stranger.restore(stream), { code: 'key-missing' });
  const other = new Replica(new StoreState({ clusterKey: ClusterKey.generate() }));
  t.throws(() => other.write([putRecord(recordOf())]), { code: 'key-missing' });
  t.match(
    (await restored(bytes)).get(SECRET)?.object,
    { data: { word: WORD } },
    'with it all is there',
  );
});

t.test('sealing: what was changed behind its checksum is noticed', async (t) => {
  const state = founded();
  const replica = new Replica(state);
  const origin = { client: 'c', sequence: 1, acknowledged: 0, born: 0 };
  const transaction = { checks: [], operations: [secret()] };
  const data = encodeCommand(
    { ...origin, kind: 'transaction', transaction },
    state.sealing.inForce,
  );
  const at = data.indexOf(SECRET) + SECRET.length + 30;
  data[at] = (data[at] ?? 0) ^ 1;
  t.throws(() => replica.apply(data), { code: 'data-damaged', message: /join it anew/ });
});

t.test(
  'sealing: a record that cannot be read changes nothing, nor can it be deleted',
  async (t) => {
    const replica = new Replica(founded());
    const { inForce } = replica.state.sealing;
    for (const record of [
      '',
      '{}',
      '{"version":2}',
      '{"version":1,"key":{},"kinds":[],"madeAt":""}',
    ]) {
      t.match(replica.write([putRecord(Buffer.from(record))]), { kind: 'invalid' }, record);
    }
    t.match(replica.write([{ op: 'delete', key: SEALING_KEY }]), { kind: 'invalid' });
    t.equal(replica.state.sealing.inForce, inForce);
  },
);

t.test(
  'sealing: a writer whose replica is behind catches up and writes under the new key',
  async (t) => {
    const clock = new VirtualClock();
    const leader = founded();
    const lagging = await restored(await snapshotOf(leader));
    const log = applyAtOnce(leader);
    const entries: Uint8Array[] = [];
    const follow = async () => {
      for (const data of entries.splice(0)) new Replica(lagging).apply(data);
    };
    const store = createReplicatedStore(
      {
        state: lagging,
        consensus: {
          propose: (data) => {
            entries.push(data);
            return log.propose(data);
          },
          readBarrier: follow,
        },
        clock,
        random: seededRandom(1),
      },
      { clientId: 'me', deadlineMs: 0 },
    );
    const rotation = encodeCommand({
      client: 'other',
      sequence: 1,
      acknowledged: 0,
      born: 0,
      kind: 'transaction',
      transaction: { checks: [], operations: [putRecord(recordOf())] },
    });
    entries.push(rotation);
    await log.propose(rotation);
    const written = store.transact({ checks: [], operations: [secret()] }, { deadlineMs: 1000 });
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(2000);
    t.match(await written, { kind: 'committed', revision: 3 });
    t.match(leader.get(SECRET)?.object, { data: { word: WORD } });
    t.notOk(entries.some(shows));
  },
);

t.test(
  'sealing: a replica that knows of no record asks before a secret goes out in plain',
  async (t) => {
    const leader = new StoreState({ clusterKey });
    const lagging = new StoreState({ clusterKey });
    const log = applyAtOnce(leader);
    const entries: Uint8Array[] = [];
    const catchUp = async () => {
      const data = entries[lagging.appliedIndex];
      if (data)
        lagging.apply([{ index: asIndex(lagging.appliedIndex + 1), term: asTerm(1), data }]);
    };
    const propose = async (data: Uint8Array) => {
      entries.push(data);
      if (entries.length > 1) await catchUp();
      return log.propose(data);
    };
    const consensus = { propose, readBarrier: catchUp };
    const leading = createReplicatedStore({ state: leader, consensus });
    await leading.transact({ checks: [], operations: [putRecord(recordOf())] });
    const store = createReplicatedStore({ state: lagging, consensus });
    await store.transact({ checks: [], operations: [secret()] });
    t.equal(entries.length, 2, 'one attempt');
    t.notOk(entries.some(shows));
  },
);
