import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createConsensus } from '../../src/consensus/consensus.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { entropyRandom } from '../../src/lib/random.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Store } from '../../src/store/types.ts';
import { startCluster } from '../mesh/support.ts';
import { until } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

t.test('consensus: a group over real connections and files survives its leader', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const directory = await mkdtemp(join(tmpdir(), 'skein-group-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const meshes = await startCluster(t, 3);
  const members: Awaited<ReturnType<typeof start>>[] = [];
  for (const mesh of meshes) {
    const member = await start(mesh, join(directory, mesh.self), members.length === 0);
    t.teardown(() => member.consensus.stop());
    await members[0]?.consensus.addMember(mesh.self);
    members.push(member);
  }
  await until(
    () =>
      members.every(({ consensus }) => {
        const { voters, votersOutgoing } = consensus.status().confState;
        return voters.length === 3 && votersOutgoing.length === 0;
      }),
    'three voters',
  );
  const [founder, second, third] = members;
  if (founder === undefined || second === undefined || third === undefined) return t.fail();
  const text = 'x'.repeat(400_000);
  const kinds = await Promise.all([
    ...Array.from({ length: 20 }, (_, n) => write(second.store, `big${n}`, text)),
    ...Array.from({ length: 200 }, (_, n) => write(third.store, `small${n}`, n)),
  ]);
  t.strictSame(new Set(kinds), new Set(['committed']));
  await founder.mesh.stop();
  t.equal(await write(second.store, 'after', 1), 'committed');
  await third.store.readBarrier();
  t.equal(third.store.count('/test/'), 221);
  t.match(await third.metrics.metrics(), /skein_raft_term [2-9]/);
});

async function start(mesh: JoinableMesh, directory: string, bootstrap: boolean) {
  const state = new StoreState();
  const metrics = createMetrics();
  const consensus = await createConsensus(
    {
      mesh,
      storage: createFileStorage({ directory, nodeId: mesh.self, clusterId: 'test' }),
      stateMachine: state,
      clock: systemClock,
      random: entropyRandom(),
      logger: silentLogger,
      metrics,
    },
    { bootstrap, tickMs: 20, membership: { promotionStableMs: 100 } },
  );
  return { mesh, consensus, metrics, store: createReplicatedStore({ state, consensus }) };
}

async function write(store: Store, name: string, value: unknown): Promise<string> {
  const operations = [put(`/test/things//${name}`, { value })];
  return (await store.transact({ checks: [], operations }, { deadlineMs: 60_000 })).kind;
}
