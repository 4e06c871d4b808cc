import fc from 'fast-check';
import t from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { ClusterKey } from '../../src/sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord, newRecord } from '../../src/sealing/record.ts';
import { type CommandResult, encodeCommand } from '../../src/store/commands.ts';
import { SEALING_KEY } from '../../src/store/sealing.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { put } from '../support/store-values.ts';

const REPLICAS = 3;
const clusterKey = ClusterKey.generate();

type Step =
  | { readonly kind: 'write'; readonly by: number; readonly secret: number; readonly word: number }
  | { readonly kind: 'record'; readonly on: boolean }
  | { readonly kind: 'follow'; readonly replica: number; readonly entries: number }
  | { readonly kind: 'jump' | 'restart'; readonly replica: number };

const replica = fc.nat(REPLICAS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      by: replica,
      secret: fc.nat(3),
      word: fc.nat(99),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('record'), on: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('follow'), replica, entries: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('jump', 'restart'), replica }) },
) as fc.Arbitrary<Step>;

const wordOf = (number: number): string => `word-in-plain-${number}`;
const keyOf = (secret: number): string => `/core/secrets/default/s${secret}`;

async function snapshotOf(state: StoreState): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of state.snapshot().chunks()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** A log that a leader applies at once and replicas follow as far as they are told, each with a writer of its own. */
class Group {
  readonly leader: StoreState;
  readonly replicas: StoreState[];
  readonly log: Buffer[] = [];
  readonly words = new Map<string, string>();
  #sequence = 0;

  constructor(sealed: boolean) {
    const record = encodeRecord(newRecord(clusterKey, DEFAULT_KINDS, 0));
    const state = () => {
      const made = new StoreState({ clusterKey });
      if (sealed) made.found(record);
      return made;
    };
    this.leader = state();
    this.replicas = Array.from({ length: REPLICAS }, state);
  }

  replica(at: number): StoreState {
    return this.replicas[at] as StoreState;
  }

  follow(at: number, entries = Number.POSITIVE_INFINITY): void {
    const state = this.replica(at);
    for (let left = entries; left > 0; left--) {
      const data = this.log[state.appliedIndex];
      if (data === undefined) return;
      state.apply([{ index: asIndex(state.appliedIndex + 1), term: asTerm(1), data }]);
    }
  }

  async restore(at: number, bytes: Buffer): Promise<void> {
    const state = new StoreState({ clusterKey });
    await state.restore(
      (async function* () {
        yield bytes;
      })(),
    );
    this.replicas[at] = state;
  }

  /** What the store's writer does. */
  write(at: number, operations: readonly Operation[]): CommandResult {
    if (this.replica(at).sealing.isUncertain({ checks: [], operations })) this.follow(at);
    const result = this.#propose(this.replica(at), operations);
    if (result.kind !== 'stale-key') return result;
    this.follow(at);
    return this.#propose(this.replica(at), operations);
  }

  #propose(author: StoreState, operations: readonly Operation[]): CommandResult {
    const origin = { client: 'c', sequence: ++this.#sequence, acknowledged: 0, born: 0 };
    const transaction = { checks: [], operations };
    const command = { ...origin, kind: 'transaction', transaction } as const;
    const data = encodeCommand(command, author.sealing.inForce);
    this.log.push(data);
    const index = asIndex(this.log.length);
    return this.leader.apply([{ index, term: asTerm(1), data }])[0] as CommandResult;
  }
}

async function run(group: Group, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    switch (step.kind) {
      case 'write': {
        const key = keyOf(step.secret);
        const result = group.write(step.by, [put(key, { word: wordOf(step.word) })]);
        if (result.kind !== 'committed') throw new Error(`a write was ${result.kind}`);
        group.words.set(key, wordOf(step.word));
        break;
      }
      case 'record': {
        const value = encodeRecord(newRecord(step.on ? clusterKey : undefined, DEFAULT_KINDS, 0));
        group.write(0, [{ op: 'put', key: SEALING_KEY, value, revisionOffset: -1 }]);
        break;
      }
      case 'follow':
        group.follow(step.replica, step.entries);
        break;
      case 'jump':
        await group.restore(step.replica, await snapshotOf(group.leader));
        break;
      default:
        await group.restore(step.replica, await snapshotOf(group.replica(step.replica)));
    }
  }
}

t.test(
  'sealing: whoever lags, jumps or restarts, replicas are equal and nothing plain is left',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 40 }), async (sealed, steps) => {
        const group = new Group(sealed);
        await run(group, steps);
        const { sealing } = group.leader;
        const expected = await snapshotOf(group.leader);
        for (let at = 0; at < REPLICAS; at++) {
          group.follow(at);
          if (!(await snapshotOf(group.replica(at))).equals(expected))
            throw new Error('they differ');
        }
        for (const [key, word] of group.words) {
          const found = group.leader.get(key)?.object as { word: string } | undefined;
          if (found?.word !== word) throw new Error(`${key} says ${found?.word}`);
        }
        if ((sealing.inForce?.record.key ?? null) === null) return;
        const left = [expected, ...group.log.slice(sealing.since)];
        if (left.some((bytes) => bytes.includes('word-in-plain')))
          throw new Error('plain text is left');
      }),
      { numRuns: 300 },
    );
    t.pass('300 histories');
  },
);
