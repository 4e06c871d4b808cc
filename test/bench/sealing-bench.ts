/**
 * What sealing costs: `node test/bench/sealing-bench.ts`. Beside each figure the same without sealing, and the bare cipher, which
 * is the limit.
 */

import { createCipheriv, randomBytes } from 'node:crypto';
import { asIndex, asTerm } from '../../raft/types.ts';
import { ClusterKey } from '../../src/sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord, newRecord } from '../../src/sealing/record.ts';
import { encodeCommand } from '../../src/store/commands.ts';
import { StoreState } from '../../src/store/state.ts';
import { put } from '../support/store-values.ts';

const ROUNDS = 20_000;
const SIZES = [256, 1024, 16 * 1024];

/** Microseconds of processor time per call, the best of three runs: other work on the machine counts little. */
function measure(work: (round: number) => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 3; run++) {
    const before = process.cpuUsage();
    for (let round = 0; round < ROUNDS; round++) work(round);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / ROUNDS);
  }
  return best;
}

const clusterKey = ClusterKey.generate();
const stateOf = (sealed: boolean): StoreState => {
  const state = new StoreState({ clusterKey, historyEventsMax: 100 });
  if (sealed) state.found(encodeRecord(newRecord(clusterKey, DEFAULT_KINDS, 0)));
  return state;
};

/** A write without consensus: encode, decode, apply. */
function writeMicros(kind: 'secrets' | 'configmaps', bytes: number, sealed: boolean): number {
  const state = stateOf(sealed);
  const text = 'x'.repeat(bytes);
  let sequence = 0;
  return measure((round) => {
    const operations = [put(`/core/${kind}/default/k${round % 100}`, { text })];
    const origin = { client: 'bench', sequence: ++sequence, acknowledged: sequence - 1, born: 0 };
    const command = {
      ...origin,
      kind: 'transaction',
      transaction: { checks: [], operations },
    } as const;
    const data = encodeCommand(command, state.sealing.inForce);
    state.apply([{ index: asIndex(state.appliedIndex + 1), term: asTerm(1), data }]);
  });
}

const key = randomBytes(32);
const row = (...cells: readonly (string | number)[]): void => {
  const texts = cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(1) : cell));
  process.stdout.write(`${texts.map((text) => text.padStart(16)).join('')}\n`);
};
row(
  'bytes',
  'secret, sealed',
  'secret, plain',
  'difference',
  'bare cipher',
  'other, on',
  'other, off',
);
for (const bytes of SIZES) {
  const value = Buffer.alloc(bytes, 'x');
  const cipher = measure(() => {
    const one = createCipheriv('aes-256-gcm', key, key.subarray(0, 12));
    one.update(value);
    one.final();
    one.getAuthTag();
  });
  const sealed = writeMicros('secrets', bytes, true);
  const plain = writeMicros('secrets', bytes, false);
  const others = [true, false].map((on) => writeMicros('configmaps', bytes, on));
  row(String(bytes), sealed, plain, sealed - plain, cipher, ...others);
}

/** Milliseconds of processor time to write, and to read back, a snapshot of that many Secrets of 1 kB. */
async function snapshotMs(secrets: number, sealed: boolean): Promise<readonly number[]> {
  const state = stateOf(sealed);
  for (let at = 0; at < secrets; at++) {
    const operations = [put(`/core/secrets/default/k${at}`, { text: 'x'.repeat(1000) })];
    const origin = { client: 'bench', sequence: at + 1, acknowledged: at, born: 0 };
    const command = {
      ...origin,
      kind: 'transaction',
      transaction: { checks: [], operations },
    } as const;
    const data = encodeCommand(command, state.sealing.inForce);
    state.apply([{ index: asIndex(at + 1), term: asTerm(1), data }]);
  }
  const chunks: Uint8Array[] = [];
  const before = process.cpuUsage();
  for await (const chunk of state.snapshot().chunks()) chunks.push(chunk);
  const written = process.cpuUsage(before);
  const between = process.cpuUsage();
  await new StoreState({ clusterKey }).restore(
    (async function* () {
      yield* chunks;
    })(),
  );
  const read = process.cpuUsage(between);
  return [written, read].map(({ user, system }) => (user + system) / 1000);
}

const SECRETS = 10_000;
process.stdout.write(`\nsnapshot of ${SECRETS} Secrets of 1 kB, ms: written, read\n`);
for (const sealed of [true, false]) {
  await snapshotMs(SECRETS, sealed);
  row(sealed ? 'sealed' : 'plain', ...(await snapshotMs(SECRETS, sealed)));
}
