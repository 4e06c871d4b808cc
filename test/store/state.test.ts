import fc from 'fast-check';
import t from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { hasCode } from '../../src/lib/errors.ts';
import {
  type Command,
  type CommandResult,
  decodeCommand,
  encodeCommand,
} from '../../src/store/commands.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Revision } from '../../src/store/types.ts';
import { del, put } from '../support/store-values.ts';

/** A log of commands; `at` places one, the index counts on by itself. */
class Log {
  readonly state: StoreState;
  index = 0;

  constructor(state = new StoreState()) {
    this.state = state;
  }

  apply(data: Uint8Array, index = this.index + 1): CommandResult {
    this.index = index;
    const entry = { index: asIndex(index), term: asTerm(1), data };
    return this.state.apply([entry])[0] ?? { kind: 'expired' };
  }
}

const command = (fields: Partial<Command> & { sequence: number }): Buffer =>
  encodeCommand({
    client: 'c1',
    acknowledged: 0,
    born: 0,
    kind: 'transaction',
    transaction: { checks: [], operations: [put('/x/y//k', { n: fields.sequence })] },
    ...fields,
  } as Command);

const NOTHING = { checks: [], operations: [] };

async function copyOf(state: StoreState): Promise<StoreState> {
  const copy = new StoreState();
  const source = state.snapshot();
  await copy.restore(source.chunks());
  source.release();
  return copy;
}

t.test('state: a retry gets the earlier result and changes nothing', async (t) => {
  const log = new Log();
  t.strictSame(log.apply(command({ sequence: 1 })), { kind: 'committed', revision: 1 });
  t.strictSame(log.apply(command({ sequence: 2 })), { kind: 'committed', revision: 2 });
  t.strictSame(log.apply(command({ sequence: 1 })), { kind: 'committed', revision: 1 });
  t.equal(log.state.revision(), 2);
});

t.test('state: commands of one client may arrive out of order', async (t) => {
  const log = new Log();
  t.match(log.apply(command({ sequence: 5 })), { revision: 1 });
  t.match(log.apply(command({ sequence: 3 })), { revision: 2 });
  t.match(log.apply(command({ sequence: 5 })), { revision: 1 });
});

t.test('state: what the client has acknowledged is never applied again', async (t) => {
  const log = new Log();
  log.apply(command({ sequence: 1 }));
  log.apply(command({ sequence: 3, acknowledged: 2 }));
  t.strictSame(log.apply(command({ sequence: 1 })), { kind: 'expired' });
  t.strictSame(log.apply(command({ sequence: 2 })), { kind: 'expired' }, 'given up, never applied');
  t.equal(log.state.revision(), 2);
});

t.test('state: a session that expired is not taken for a new one', async (t) => {
  const log = new Log();
  t.match(log.apply(command({ sequence: 1 })), { kind: 'committed' });
  log.apply(command({ client: 'c2', sequence: 1 }), 1_000_010);
  t.strictSame(log.apply(command({ sequence: 1 })), { kind: 'expired' }, 'its retry, too late');
  const late = command({ sequence: 2, acknowledged: 1, born: 1_000_010 });
  t.match(log.apply(late), { kind: 'committed' }, 'a command made since is welcome');
});

t.test('state: the session table is bounded by count too', async (t) => {
  const log = new Log();
  for (let client = 0; client < 10_001; client++) {
    log.apply(command({ client: `c${client}`, sequence: 1, born: log.index }));
  }
  t.strictSame(log.apply(command({ client: 'c0', sequence: 1 })), { kind: 'expired' });
  t.match(log.apply(command({ client: 'c10000', sequence: 1, born: 10_000 })), {
    revision: 10_001,
  });
  t.equal(log.state.revision(), 10_001);
});

/** True for what can only be the command of a later version. */
function isLater(bytes: Uint8Array): boolean {
  try {
    decodeCommand(bytes);
    return false;
  } catch (error) {
    if (hasCode(error, 'version-unsupported')) return true;
    throw error;
  }
}

t.test(
  'state: a command of a later version stops the replica and is not passed over',
  async (t) => {
    const log = new Log();
    log.apply(command({ sequence: 1 }));
    const later = Buffer.from(command({ sequence: 2 }));
    // The first field, behind the head of the list.
    t.equal(later[1], 1);
    later[1] = 9;
    t.throws(() => log.apply(later), { code: 'version-unsupported', message: /format 9.*1 to 2/ });
    t.equal(log.state.revision(), 1);
  },
);

t.test('state: whatever bytes it is given, it answers and does not throw', async (t) => {
  const log = new Log();
  const whole = command({ sequence: 1 });
  t.match(log.apply(Buffer.from('hello')), { kind: 'invalid' });
  t.match(log.apply(Buffer.alloc(0)), { kind: 'invalid' });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const bent = Buffer.from(whole);
      bent[at] = byte;
      if (isLater(bent)) return true;
      return typeof log.apply(bent).kind === 'string';
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      if (isLater(bytes)) return true;
      return typeof log.apply(bytes).kind === 'string';
    }),
    { numRuns: 500 },
  );
  t.equal(log.state.appliedIndex, log.index);
});

const operation = fc.oneof(
  fc.record({ key: fc.nat(12), n: fc.nat(9) }).map(({ key, n }) => put(`/x/y/n/k${key}`, { n })),
  fc.nat(12).map((key) => del(`/x/y/n/k${key}`)),
);
const transaction = fc.record({
  checks: fc.array(
    fc.nat(12).map((key) => ({ key: `/x/y/n/k${key}`, is: 'present' as const })),
    { maxLength: 1 },
  ),
  operations: fc.array(operation, { maxLength: 4 }),
});

t.test('state: two replicas agree byte for byte, one of them by way of a snapshot', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(transaction, { maxLength: 40 }),
      fc.nat(40),
      async (transactions, cut) => {
        const straight = new Log();
        let detour = new Log();
        for (const [at, body] of transactions.entries()) {
          if (at === cut) {
            const restored = await copyOf(detour.state);
            const { index } = detour;
            detour = new Log(restored);
            detour.index = index;
          }
          const data = command({ sequence: at + 1, transaction: body } as never);
          t.strictSame(straight.apply(data), detour.apply(data));
        }
        const text = async (state: StoreState) => {
          const parts: Uint8Array[] = [];
          for await (const chunk of state.snapshot().chunks()) parts.push(chunk);
          return Buffer.concat(parts).toString('latin1');
        };
        return (await text(straight.state)) === (await text(detour.state));
      },
    ),
    { numRuns: 60 },
  );
});

t.test('state: pages of the past are the lists that were', async (t) => {
  fc.assert(
    fc.property(
      fc.array(transaction, { minLength: 1, maxLength: 30 }),
      fc.nat(30),
      fc.integer({ min: 1, max: 5 }),
      (transactions, at, limit) => {
        const log = new Log();
        const lists: string[][] = [[]];
        const shown = (list: ReturnType<StoreState['list']>) =>
          list.kind === 'listed' ? list.items.map((item) => item.bytes.toString()) : ['too old'];
        for (const [position, body] of transactions.entries()) {
          log.apply(command({ sequence: position + 1, transaction: body } as never));
          lists[log.state.revision()] = shown(log.state.list('/x/'));
        }
        const atRevision = (at % lists.length) as Revision;
        const expected = lists[atRevision] ?? [];
        const pages: string[] = [];
        for (let after: string | undefined; ; ) {
          const page = log.state.list('/x/', { atRevision, limit, ...(after && { after }) });
          pages.push(...shown(page));
          if (page.kind !== 'listed' || pages.length + page.remaining !== expected.length)
            return false;
          if (page.remaining === 0) return pages.join() === expected.join();
          after = page.items.at(-1)?.key;
        }
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

t.test('state: a snapshot shows its own moment while later entries apply', async (t) => {
  const log = new Log();
  for (let at = 1; at <= 2000; at++) {
    const operations = [put(`/x/y//k${at}`, { filler: 'x'.repeat(200), at })];
    log.apply(
      command({
        sequence: at,
        acknowledged: at - 1,
        transaction: { checks: [], operations },
      } as never),
    );
  }
  const source = log.state.snapshot();
  const chunks: Uint8Array[] = [];
  let sequence = 2000;
  for await (const chunk of source.chunks()) {
    chunks.push(chunk);
    for (let round = 0; round < 300; round++) {
      const operations = [del(`/x/y//k${round * 5 + 1}`), put(`/x/y//new${sequence}`, {})];
      const body = { checks: [], operations };
      log.apply(command({ sequence: ++sequence, transaction: body } as never));
    }
  }
  t.ok(chunks.length > 3, 'it came in several chunks');
  const copy = new StoreState();
  await copy.restore(stream(chunks));
  t.equal(copy.revision(), 2000);
  t.equal(copy.appliedIndex, 2000);
  t.equal(copy.count('/'), 2000);
  t.match(copy.get('/x/y//k1')?.object, { at: 1, metadata: { resourceVersion: '1' } });
  t.equal(copy.oldestRevision(), 2000, 'there is no history behind a snapshot');
  t.match(
    copy.watch('/', 1999 as Revision, () => {}),
    { kind: 'too-old', oldest: 2000 },
  );
});

t.test('state: the digest is equal for equal states, and tells the least difference', async (t) => {
  const build = (change: (log: Log) => void = () => {}) => {
    const log = new Log();
    for (let n = 1; n <= 5; n++) log.apply(command({ sequence: n }));
    change(log);
    log.index = 20;
    log.apply(command({ sequence: 9 }), 21);
    return log.state;
  };
  const plain = build();
  t.equal(plain.digest(), build().digest());
  t.equal(plain.digest(), (await copyOf(plain)).digest(), 'also by way of a snapshot');
  const claim = {
    kind: 'claim',
    name: 's',
    term: 3,
    client: 'c1',
    acknowledged: 0,
    born: 0,
  } as const;
  const others = [
    build((log) => log.apply(encodeCommand({ ...claim, sequence: 6 }))),
    build((log) => log.apply(command({ sequence: 6, client: 'c2' }))),
    build((log) => {
      const operations = [put('/x/y//k', { n: 6 })];
      log.apply(command({ sequence: 6, transaction: { checks: [], operations } } as never));
    }),
    build((log) => log.apply(command({ sequence: 6, transaction: NOTHING } as never))),
  ];
  const digests = [plain, ...others].map((state) => state.digest());
  t.equal(new Set(digests).size, digests.length, 'a fence, a session, a byte, an answer');
});

t.test('state: fences, sessions and changedAt survive a snapshot', async (t) => {
  const log = new Log();
  log.apply(command({ sequence: 1 }));
  log.apply(
    encodeCommand({
      client: 'c1',
      sequence: 2,
      acknowledged: 0,
      born: 0,
      kind: 'claim',
      name: 's',
      term: 7,
    }),
  );
  const again = new Log(await copyOf(log.state));
  again.index = log.index;
  t.equal(again.state.changedAt('/x/y/'), 1);
  t.match(again.apply(command({ sequence: 1 })), { kind: 'committed', revision: 1 });
  const fenced = { checks: [], operations: [], fence: { name: 's', term: 6 } };
  t.strictSame(again.apply(command({ sequence: 3, transaction: fenced } as never)), {
    kind: 'fenced',
    newestTerm: 7,
  });
});

t.test('state: a damaged snapshot is refused, and the state stays as it was', async (t) => {
  const log = new Log();
  for (let at = 1; at <= 50; at++) log.apply(command({ sequence: at }));
  const parts: Uint8Array[] = [];
  for await (const chunk of log.state.snapshot().chunks()) parts.push(chunk);
  const whole = Buffer.concat(parts);
  const fresh = new StoreState();
  for (let at = 0; at < whole.length; at += 7) {
    const bent = Buffer.from(whole);
    bent[at] = (bent[at] ?? 0) ^ 16;
    await t.rejects(fresh.restore(stream([bent])), { code: 'data-damaged' });
  }
  for (const cut of [0, 5, whole.length - 1]) {
    await t.rejects(fresh.restore(stream([whole.subarray(0, cut)])), { code: 'data-damaged' });
  }
  const [first, second, ...rest] = parts;
  await t.rejects(fresh.restore(stream([first, ...rest].filter((part) => part !== undefined))), {
    code: 'data-damaged',
  });
  await t.rejects(fresh.restore(stream([...parts, second ?? whole])), { code: 'data-damaged' });
  t.equal(fresh.revision(), 0);
  await fresh.restore(stream(Array.from(whole, (byte) => Uint8Array.of(byte))));
  t.equal(fresh.revision(), 50, 'it arrives in whatever pieces');
});

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
