/** Thirty pause-like replicas until all are Ready, beside raw Docker starting as many containers on the same host. */

import Docker from 'dockerode';
import { pathInHost } from '../../src/lab/host.ts';
import { identify } from '../../src/lab/processes.ts';
import { runCommand } from '../../src/lib/command.ts';
import type { Row } from '../bench.ts';
import type { BenchLab } from './bench-lab.ts';

const REPLICAS = 30;
const IMAGE = 'busybox:latest';
const COMMAND = ['sleep', '100000'];

/** Seconds from `kubectl apply` to the last replica Ready. */
async function deployReplicas(lab: BenchLab, name: string): Promise<number> {
  const labels = { app: name };
  const container = {
    name: 'c',
    image: IMAGE,
    imagePullPolicy: 'IfNotPresent',
    command: COMMAND,
  };
  const manifest = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [container], terminationGracePeriodSeconds: 0 },
      },
    },
  };
  const env = { ...process.env, KUBECONFIG: lab.kubeconfig };
  const started = performance.now();
  await runCommand('kubectl', ['apply', '-f', '-'], { input: JSON.stringify(manifest), env });
  const wait = ['rollout', 'status', `deployment/${name}`, '--timeout=300s'];
  await runCommand('kubectl', wait, { env, deadlineMs: 310_000 });
  const seconds = (performance.now() - started) / 1000;
  await runCommand('kubectl', ['delete', 'deployment', name, '--wait=true'], { env });
  const gone = ['wait', '--for=delete', 'pod', '-l', `app=${name}`, '--timeout=120s'];
  await runCommand('kubectl', gone, { env, deadlineMs: 130_000 });
  return seconds;
}

/** Seconds for Docker alone to start as many pairs (sandbox and container) as the pods above need. */
async function startContainers(lab: BenchLab): Promise<number> {
  const init = await identify(await lab.initPid('node1'));
  if (!init) throw new Error('the host is down');
  const docker = new Docker({ socketPath: pathInHost(init, '/run/docker.sock') });
  const options = { Image: IMAGE, Cmd: COMMAND, HostConfig: { NetworkMode: 'none' } };
  const started = performance.now();
  const containers = await Promise.all(
    Array.from({ length: REPLICAS }, async () => {
      const sandbox = await docker.createContainer(options);
      await sandbox.start();
      const join = { NetworkMode: `container:${sandbox.id}` };
      const container = await docker.createContainer({ ...options, HostConfig: join });
      await container.start();
      return [container, sandbox];
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  await Promise.all(containers.flat().map((container) => container.remove({ force: true })));
  return seconds;
}

/** Both, alternating, the better of two. */
export async function benchReplicas(lab: BenchLab): Promise<Row[]> {
  const docker: number[] = [];
  const skein: number[] = [];
  for (const round of [1, 2]) {
    docker.push(await startContainers(lab));
    skein.push(await deployReplicas(lab, `replicas-${round}`));
  }
  const [raw, ours] = [Math.min(...docker), Math.min(...skein)];
  return [
    {
      what: `Deployment of ${REPLICAS} replicas, apply to all Ready, one host`,
      measured: `${ours.toFixed(1)} s, ${(ours / raw).toFixed(2)} times raw Docker`,
      goal: `1.5 times raw Docker (sandbox and container each: ${raw.toFixed(1)} s)`,
    },
  ];
}
