/** Work for the cluster while it is broken: a deployment that is scaled, rolled out anew and loses pods. */

import { readFile } from 'node:fs/promises';
import { buildImageArchive } from '../lab/image-archive.ts';
import { pause } from '../lab/processes.ts';
import { waitUntil } from '../lab/wait.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Random } from '../lib/random.ts';
import type { ApiClient } from './api-client.ts';

export type ChurnOptions = {
  readonly client: ApiClient;
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly random: Random;
  /** Told of every change that was taken. */
  readonly report: (line: string) => void;
};

type Deployment = {
  readonly metadata: { readonly generation?: number };
  readonly spec: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
  };
};
type PodList = { readonly items: readonly { readonly metadata: { readonly name: string } }[] };

const IMAGE = 'skein-chaos:1';
const NAME = 'work';
const REPLICAS_MAX = 5;
const PAUSE_MS = { min: 3_000, max: 8_000 };
const DEADLINE_MS = 10_000;
/** No pod is to move because of a fault: then what is made anew is made for no reason. */
const PATIENCE_SECONDS = 3_600;
const BUSYBOX_PATHS = ['/bin/busybox', '/usr/bin/busybox'];
const SCRIPT = `#!/bin/sh
trap 'exit 0' TERM
while :; do sleep 1 & wait $!; done
`;

/** A docker-archive with the image that the pods run. Throws when no static busybox is installed. */
export async function buildWorkImage(): Promise<Buffer> {
  for (const path of BUSYBOX_PATHS) {
    const busybox = await readFile(path).catch(() => undefined);
    if (busybox === undefined) continue;
    const files = [
      { path: 'bin/busybox', content: busybox, mode: 0o755 },
      { path: 'bin/work', content: SCRIPT, mode: 0o755 },
    ];
    const links = ['sh', 'sleep'].map((name) => ({ path: `bin/${name}`, target: 'busybox' }));
    const command = ['/bin/work'];
    return buildImageArchive([{ reference: IMAGE, directories: ['bin'], files, links, command }]);
  }
  throw new SkeinError(
    'config-invalid',
    'no busybox at /bin/busybox; install it with: apt-get install busybox-static',
  );
}

export class Churn {
  readonly tally = { scaled: 0, rolled: 0, deleted: 0 };
  readonly #options: ChurnOptions;

  constructor(options: ChurnOptions) {
    this.#options = options;
  }

  /** Makes the deployment and waits until it runs. */
  async begin(): Promise<void> {
    const { client, hosts } = this.#options;
    const body = deployment(3);
    await client.json(hosts[0] ?? '', this.#path('deployments'), { method: 'POST', body });
    await this.settled();
  }

  /** Changes something every few seconds until the signal fires. What is refused is left. */
  async run(signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    for (;;) {
      await pause(random.int(PAUSE_MS.min, PAUSE_MS.max), signal);
      if (signal.aborted) return;
      const change = random.pick(['scale', 'roll', 'delete'] as const);
      if (change === 'scale') await this.#scale(random.int(1, REPLICAS_MAX));
      else if (change === 'roll') await this.#roll();
      else await this.#delete();
    }
  }

  /** Waits until the deployment is as its spec asks. */
  async settled(deadlineMs = 90_000): Promise<void> {
    const { client, hosts } = this.#options;
    await waitUntil(
      'the deployment to be as asked',
      async () => {
        const path = this.#path(`deployments/${NAME}`);
        const { metadata, spec, status = {} } = await client.json<Deployment>(hosts[0] ?? '', path);
        const { replicas = 0, updatedReplicas = 0, readyReplicas = 0 } = status;
        const observed = status.observedGeneration === metadata.generation;
        const counts = [replicas, updatedReplicas, readyReplicas];
        if (observed && counts.every((count) => count === spec.replicas)) return true;
        throw new Error(`${counts.join('/')} of ${spec.replicas} replicas`);
      },
      { deadlineMs },
    );
  }

  async #scale(replicas: number): Promise<void> {
    if (!(await this.#patch({ spec: { replicas } }))) return;
    this.tally.scaled++;
    this.#options.report(`work: scaled to ${replicas} replicas`);
  }

  async #roll(): Promise<void> {
    const annotations = { 'chaos/round': String(this.tally.rolled + 1) };
    if (!(await this.#patch({ spec: { template: { metadata: { annotations } } } }))) return;
    this.tally.rolled++;
    this.#options.report('work: rolled out anew');
  }

  async #delete(): Promise<void> {
    const { client, hosts, random } = this.#options;
    const host = random.pick(hosts);
    const path = this.#path('pods', '/api/v1');
    const pods = await client
      .json<PodList>(host, `${path}?labelSelector=app%3D${NAME}`, { deadlineMs: DEADLINE_MS })
      .catch(() => undefined);
    if (pods === undefined || pods.items.length === 0) return;
    const { name } = random.pick(pods.items).metadata;
    const options = { method: 'DELETE', deadlineMs: DEADLINE_MS };
    const answer = await client.call(host, `${path}/${name}`, options).catch(() => undefined);
    if (answer === undefined || answer.code >= 300) return;
    this.tally.deleted++;
    this.#options.report(`work: pod ${name} is deleted`);
  }

  async #patch(body: object): Promise<boolean> {
    const { client, hosts, random } = this.#options;
    const answer = await client
      .call(random.pick(hosts), this.#path(`deployments/${NAME}`), {
        method: 'PATCH',
        body,
        headers: { 'content-type': 'application/merge-patch+json' },
        deadlineMs: DEADLINE_MS,
      })
      .catch(() => undefined);
    return answer !== undefined && answer.code < 300;
  }

  #path(rest: string, group = '/apis/apps/v1'): string {
    return `${group}/namespaces/${this.#options.namespace}/${rest}`;
  }
}

function deployment(replicas: number): object {
  const labels = { app: NAME };
  const tolerations = ['unreachable', 'not-ready'].map((taint) => ({
    key: `node.kubernetes.io/${taint}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: PATIENCE_SECONDS,
  }));
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: NAME },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 2,
          tolerations,
          containers: [{ name: NAME, image: IMAGE, imagePullPolicy: 'IfNotPresent' }],
        },
      },
    },
  };
}
