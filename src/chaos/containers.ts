/**
 * Containers that were made anew although nothing had happened to them: a pod's container on a host gets a successor only if it
 * died, and in a chaos run it dies only with its host or its pod.
 */

import type { LabCluster } from '../lab/cluster.ts';
import type { Harm } from './harm.ts';

type Seen = { readonly id: string; readonly losses: number };

const LIST = [
  'docker',
  'ps',
  '--no-trunc',
  '--filter=label=io.kubernetes.pod.uid',
  '--format={{.Label "io.kubernetes.pod.uid"}} {{.Label "io.kubernetes.docker.type"}}/{{.Label "io.kubernetes.container.name"}} {{.ID}}',
];
const DEADLINE_MS = 5_000;

export class Containers {
  /** In words. Must stay empty. */
  readonly needless: string[] = [];
  readonly #cluster: LabCluster;
  readonly #harm: Harm;
  readonly #seen = new Map<string, Seen>();
  #looks = 0;

  constructor(cluster: LabCluster, harm: Harm) {
    this.#cluster = cluster;
    this.#harm = harm;
  }

  /** How many containers were looked at, each once. */
  get known(): number {
    return this.#seen.size;
  }

  get looks(): number {
    return this.#looks;
  }

  /** Compares what runs on a host with what ran at the last look; a host that is down has nothing to show. */
  async look(host: string): Promise<void> {
    const losses = this.#harm.lossesOf(host);
    const listed = await this.#cluster.tryOnHost(host, LIST, DEADLINE_MS).catch(() => undefined);
    // The host may have died while it answered.
    if (listed?.code !== 0 || losses !== this.#harm.lossesOf(host)) return;
    this.#looks++;
    for (const line of listed.stdout.split('\n').filter((text) => text !== '')) {
      const [uid = '', name = '', id = ''] = line.split(' ');
      const key = `${host} ${uid} ${name}`;
      const before = this.#seen.get(key);
      if (before !== undefined && before.id !== id && before.losses === losses) {
        this.needless.push(`${name} of pod ${uid} on ${host} was made anew`);
      }
      this.#seen.set(key, { id, losses });
    }
  }
}
