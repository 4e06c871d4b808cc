/** The pod agent on a real Docker daemon. */

import t from 'tap';
import { createDockerRuntime } from '../../../../agents/node/pods/runtime/docker-runtime.ts';
import { systemMounter } from '../../../../agents/node/pods/volumes/mounter.ts';
import { createLogger } from '../../../../src/lib/logger.ts';
import { startDockerd } from '../../../support/dockerd.ts';
import { isReady, TestNode } from './support/cluster.ts';

t.setTimeout(120_000);

const dockerd = await startDockerd();
t.teardown(() => dockerd.stop());
await dockerd.importBusybox('busybox:1');
await dockerd.importBusybox('redis');
const runtime = createDockerRuntime({ socketPath: dockerd.socketPath });
const node = await TestNode.start({
  runtime,
  mounter: systemMounter,
  ...(process.env['DEBUG_LOG'] ? { logger: createLogger('debug') } : {}),
  agent: { restartBackoff: { initialMs: 200, maxMs: 1_000 } },
});
t.teardown(() => node.stop());

t.test('pods: a simple pod runs, is Ready, and goes when deleted', async (t) => {
  await node.run('simple', {
    containers: [{ name: 'main', image: 'busybox:1', command: ['sleep', '1000'] }],
    terminationGracePeriodSeconds: 1,
  });
  const pod = await node.podUntil('simple', 'is ready', isReady);
  t.equal(pod?.status?.phase, 'Running');
  t.match(pod?.status?.podIP, /^10\.250\.0\./);
  t.match(pod?.status?.containerStatuses?.[0]?.containerID, /^docker:\/\/[0-9a-f]{64}$/);
  await node.client.delete('Pod', { namespace: 'default', name: 'simple' });
  await node.podUntil('simple', 'is gone', (pod) => pod === undefined);
});
