/**
 * Writes per second of the replicated store, with figures of the same run to compare with: the bare disk
 * (write and fdatasync of the same bytes, one after the other) and the state machine alone.
 *
 * node test/bench/store-bench.ts [seconds per case, default 2]
 */

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import type { Store } from '../../src/store/types.ts';
import { TestCluster, type TestMember } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

const seconds = Number(process.argv[2] ?? 2);
const filler = 'x'.repeat(440);

/** Keeps `inFlight` writes of about 500 bytes going; prints the rate and latencies. */
async function measure(title: string, stores: readonly Store[], inFlight: number): Promise<void> {
  const endMs = performance.now() + seconds * 1000;
  const latencies: number[] = [];
  const worker = async (id: number) => {
    const store = stores[id % stores.length];
    for (let round = 0; performance.now() < endMs; round++) {
      const startMs = performance.now();
      const operations = [put(`/core/pods/bench/p${id}-${round % 50}`, { round, filler })];
      await store?.transact({ checks: [], operations });
      latencies.push(performance.now() - startMs);
    }
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: inFlight }, (_, id) => worker(id)));
  const rate = latencies.length / ((performance.now() - startMs) / 1000);
  latencies.sort((left, right) => left - right);
  const at = (share: number) => (latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(2);
  console.log(
    `${title.padEnd(46)} ${rate.toFixed(0).padStart(7)}/s  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`,
  );
}

async function bareDisk(directory: string): Promise<void> {
  const handle = await open(join(directory, 'bare'), 'w');
  const bytes = Buffer.alloc(512 * 64, 1);
  await handle.write(Buffer.alloc(16 * 1024 * 1024), 0);
  await handle.sync();
  const endMs = performance.now() + 1000;
  let syncs = 0;
  for (; performance.now() < endMs; syncs++) {
    await handle.write(bytes, 0, bytes.length, (syncs % 500) * bytes.length);
    await handle.datasync();
  }
  await handle.close();
  console.log(
    `${'disk: write and fdatasync of 64 x 512 bytes'.padEnd(46)} ${String(syncs).padStart(7)}/s`,
  );
}

const directory = await mkdtemp(join(tmpdir(), 'skein-bench-'));
const onDisk = (run: string) => ({
  storage: (nodeId: string) =>
    createFileStorage({ directory: join(directory, run, nodeId), nodeId, clusterId: 'bench' }),
});
const alive = setInterval(() => {}, 1000);
try {
  await bareDisk(directory);
  await measure('state machine alone, 64 in flight', [createLocalStore()], 64);
  for (const [title, names, options] of [
    ['one node, file log', ['a'], onDisk('one')],
    ['three nodes, file logs, one process', ['a', 'b', 'c'], onDisk('three')],
    ['three nodes, memory logs, one process', ['a', 'b', 'c'], {}],
  ] as const) {
    const cluster = await TestCluster.of(names, options);
    const leader = await cluster.leader();
    const stores = (members: readonly TestMember[]) => members.map(({ store }) => store);
    await measure(`${title}, 1 in flight`, [leader.store], 1);
    await measure(`${title}, 64 in flight`, [leader.store], 64);
    const followers = cluster.followers(leader);
    if (followers.length > 0) {
      await measure(`${title}, 64 via followers`, stores(followers), 64);
    }
    await cluster.stop();
  }
} finally {
  clearInterval(alive);
  await rm(directory, { recursive: true, force: true });
}
