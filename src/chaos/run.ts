/**
 * A chaos run: a lab of its own, clients that never stop, work that changes, and one fault after the other from a seed; then
 * peace, an audit, and a verdict.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { LabCluster } from '../lab/cluster.ts';
import { labDown, labLoadImage, labUp } from '../lab/index.ts';
import { pause } from '../lab/processes.ts';
import { loadLab } from '../lab/state.ts';
import { tracesOf } from '../lab/traces.ts';
import { waitUntil } from '../lab/wait.ts';
import { messageOf } from '../lib/errors.ts';
import { seededRandom } from '../lib/random.ts';
import { ApiClient } from './api-client.ts';
import { type Audit, audit } from './audit.ts';
import { Availability } from './availability.ts';
import { buildWorkImage, Churn } from './churn.ts';
import { Clients } from './clients.ts';
import { Containers } from './containers.ts';
import { keepEvidence } from './evidence.ts';
import type { FaultKind } from './fault-kinds.ts';
import { Harm } from './harm.ts';
import { Leaders } from './leaders.ts';
import { planSteps } from './schedule.ts';
import { Stepper } from './stepper.ts';
import { passed, type Verdict } from './verdict.ts';

export type ChaosOptions = {
  readonly seed: number;
  readonly minutes: number;
  /** 3 or 5. */
  readonly nodes: number;
  /** Names the lab, and thereby its hosts' namespaces. A lab of that name is taken down first. */
  readonly name: string;
  /** Default: every kind of fault. */
  readonly kinds?: readonly FaultKind[];
  /** Below which logs and data are kept when the run fails. */
  readonly keepBelow: string;
  /** Told of everything, one line each. */
  readonly report: (line: string) => void;
  /** Ends the faults early; the audit is made all the same. */
  readonly signal?: AbortSignal;
};

export type ChaosResult = {
  readonly verdict: Verdict;
  readonly clients: Clients;
  /** Where logs and data of a failed run are. */
  readonly kept: string | undefined;
};

const NAMESPACE = 'chaos';
const STATUS_EVERY_MS = 250;
const CONTAINERS_EVERY_MS = 5_000;
const TRACES_DEADLINE_MS = 5_000;
/** Clients go on for this long after the last fault. */
const CALM_MS = 1_000;
const quiet = (): void => {};

/** Runs chaos to its verdict; the lab is gone afterwards. Rejects when no lab can be had. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { name, nodes, report, seed } = options;
  await labDown(name, quiet);
  report(`starting a lab of ${nodes} hosts (${name}); seed ${seed}`);
  try {
    await labUp({ name, nodes, faults: true, report: quiet });
    const cluster = await LabCluster.open(name);
    await loadImage(name);
    const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
    try {
      return await new ChaosRun(cluster, client, options).run();
    } finally {
      client.close();
    }
  } finally {
    await labDown(name, quiet);
  }
}

async function loadImage(name: string): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/skein-chaos-`);
  try {
    await writeFile(`${directory}/image.tar`, await buildWorkImage());
    await labLoadImage(name, `${directory}/image.tar`, quiet);
  } finally {
    await rm(directory, { recursive: true });
  }
}

class ChaosRun {
  readonly #cluster: LabCluster;
  readonly #client: ApiClient;
  readonly #options: ChaosOptions;
  readonly #startMs = performance.now();
  readonly #leaders = new Leaders();
  readonly #availability = new Availability(this.#startMs);
  readonly #containers: Containers;
  readonly #clients: Clients;
  readonly #churn: Churn;
  readonly #stepper: Stepper;
  readonly #journal: string[] = [];

  constructor(cluster: LabCluster, client: ApiClient, options: ChaosOptions) {
    this.#cluster = cluster;
    this.#client = client;
    this.#options = options;
    const random = seededRandom(options.seed).fork();
    const harm = new Harm();
    const availability = this.#availability;
    const report = (line: string) => this.#say(line);
    const common = { client, hosts: cluster.hosts, namespace: NAMESPACE };
    this.#containers = new Containers(cluster, harm);
    this.#stepper = new Stepper({ cluster, harm, availability, report });
    this.#churn = new Churn({ ...common, random: random.fork(), report });
    this.#clients = new Clients({
      ...common,
      random: random.fork(),
      onAcknowledged: () => availability.acknowledged(performance.now()),
      excused: (host, sinceMs) => harm.excused(host, sinceMs),
    });
  }

  async run(): Promise<ChaosResult> {
    const { minutes, signal, seed, kinds } = this.#options;
    await this.#prepare();
    const time = AbortSignal.timeout(minutes * 60_000);
    const end = signal ? AbortSignal.any([time, signal]) : time;
    const peace = new AbortController();
    const background = Promise.all([
      this.#clients.run(peace.signal),
      this.#watchStatus(peace.signal),
      this.#watchContainers(peace.signal),
    ]);
    const churning = this.#churn.run(end);
    const hosts = this.#cluster.hosts.length;
    await this.#stepper.run(planSteps({ seed, hosts, ...(kinds ? { kinds } : {}) }), end);
    await churning;
    await pause(CALM_MS);
    peace.abort();
    await background;
    return this.#conclude();
  }

  async #prepare(): Promise<void> {
    const host = this.#cluster.hosts[0] ?? '';
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
    await this.#client.json(host, '/api/v1/namespaces', { method: 'POST', body });
    await this.#churn.begin();
    this.#say(`the lab is up; ${await this.#cluster.leader()} leads`);
  }

  async #watchStatus(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const host of this.#cluster.hosts) {
        const status = await this.#cluster.status(host);
        if (status?.role === 'leader') this.#leaders.claim(status.term, status.node);
      }
      await pause(STATUS_EVERY_MS, signal);
    }
  }

  async #watchContainers(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const host of this.#cluster.hosts) await this.#containers.look(host);
      await pause(CONTAINERS_EVERY_MS, signal);
    }
  }

  async #conclude(): Promise<ChaosResult> {
    this.#say('peace; now the audit');
    const found = await this.#audit();
    await this.#clients.end();
    for (const host of this.#cluster.hosts) {
      await this.#containers.look(host);
      await this.#leaders.readLog(`${this.#cluster.directory(host)}/skein.log`).catch(quiet);
    }
    const verdict = this.#judge(found);
    const [cluster, clients, journal] = [this.#cluster, this.#clients, this.#journal];
    const { history } = clients;
    const { keepBelow } = this.#options;
    const kept = passed(verdict)
      ? undefined
      : await keepEvidence({ cluster, history, journal, verdict }, keepBelow, (line) =>
          this.#say(line),
        );
    const leftovers = await this.#takeDown();
    const violations = { ...verdict.violations, leftovers };
    return { verdict: { ...verdict, violations }, clients, kept };
  }

  #judge({ lost, wrong }: Audit): Verdict {
    const nowMs = performance.now();
    const faults = this.#clients.checkHistories();
    const texts = (kind: 'stale' | 'contradiction') =>
      faults.filter((fault) => fault.kind === kind).map(({ text }) => text);
    return {
      seed: this.#options.seed,
      durationMs: nowMs - this.#startMs,
      operations: this.#clients.tally,
      steps: this.#stepper.outcomes,
      terms: this.#leaders.terms,
      containers: this.#containers.known,
      churn: this.#churn.tally,
      longestPauseMs: this.#availability.longest(this.#startMs, nowMs),
      violations: {
        lost,
        stale: texts('stale'),
        contradictions: texts('contradiction'),
        leaders: this.#leaders.duplicates,
        answers: this.#clients.wrongAnswers,
        differences: wrong,
        containers: this.#containers.needless,
        availability: this.#stepper.pauses,
        recovery: this.#stepper.unrecovered,
        leftovers: [],
      },
    };
  }

  async #audit(): Promise<Audit> {
    const [cluster, client, clients] = [this.#cluster, this.#client, this.#clients];
    try {
      await cluster.settled();
      const { lost, wrong } = await audit({ cluster, client, clients, namespace: NAMESPACE });
      const work = await this.#churn.settled().then(
        () => [],
        (error: unknown) => [`work: ${messageOf(error)}`],
      );
      return { lost, wrong: [...wrong, ...work] };
    } catch (error) {
      return { lost: [], wrong: [`no audit: ${messageOf(error)}`] };
    }
  }

  /** Takes the lab down; answers what is left of it. */
  async #takeDown(): Promise<readonly string[]> {
    const { name } = this.#options;
    const { index } = (await loadLab(name)).state;
    await labDown(name, quiet);
    // The kernel takes its time to end what a namespace held.
    return waitUntil(
      'the end of the lab',
      async () => ((await tracesOf(name, index)).length === 0 ? [] : undefined),
      { deadlineMs: TRACES_DEADLINE_MS },
    ).catch(() => tracesOf(name, index));
  }

  #say(text: string): void {
    const ms = performance.now() - this.#startMs;
    const minutes = String(Math.floor(ms / 60_000)).padStart(2, '0');
    const rest = ((ms % 60_000) / 1000).toFixed(1).padStart(4, '0');
    const line = `${minutes}:${rest}  ${text}`;
    this.#journal.push(line);
    this.#options.report(line);
  }
}
