/** Every command of the stock kubectl that this release promises, against a cluster of real hosts and containers. */

import t, { type Test } from 'tap';
import { containerTests } from './kubectl/containers.ts';
import { Kubectl } from './kubectl/kubectl.ts';
import { lifecycleTests } from './kubectl/lifecycle.ts';
import { nodeTests } from './kubectl/nodes.ts';
import { readingTests } from './kubectl/reading.ts';
import { workloadTests } from './kubectl/workloads.ts';
import { writingTests } from './kubectl/writing.ts';
import { TestCluster } from './support/cluster.ts';

const cluster = await TestCluster.start(t, { name: 'kubectl' });

/** Parts at once: kubectl mostly waits. */
const PARTS_AT_ONCE = 3;
const SIDE_BY_SIDE: readonly (readonly [string, (t: Test, k: Kubectl) => Promise<void>])[] = [
  ['containers', containerTests],
  ['workloads', workloadTests],
  ['writing', writingTests],
  ['lifecycle', lifecycleTests],
  ['reading', readingTests],
];

t.test('side by side, each in its namespace', async (t) => {
  t.setTimeout(0);
  t.jobs = PARTS_AT_ONCE;
  for (const [namespace, part] of SIDE_BY_SIDE) {
    t.test(namespace, { buffered: true, timeout: 0 }, async (t) => {
      await part(t, await Kubectl.inNamespace(cluster, namespace));
    });
  }
});

t.test('nodes, when nobody else is there', async (t) => {
  t.setTimeout(0);
  await nodeTests(t, await Kubectl.inNamespace(cluster, 'nodes'));
});
