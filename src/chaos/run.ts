/**
 * A chaos run: a lab of its own, clients that never stop, work that changes, and one fault after the other from a seed; then
 * peace, an audit, and a verdict.
 */

import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
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
import { audit } from './audit.ts';
import { Availability } from './availability.ts';
import { buildWorkImage, Churn } from './churn.ts';
import { Clients } from './clients.ts';
import { Containers } from './containers.ts';
import { type FaultKind, faultOf } from './fault-kinds.ts';
import { Harm } from './harm.ts';
import { Leaders } from './leaders.ts';
import { type PlannedFault, planSteps, type Step } from './schedule.ts';
import { passed, type StepOutcome, seconds, type Verdict } from './verdict.ts';

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
/** Whatever happens to a minority, writes go on within this time. */
const PAUSE_MS_MAX = 15_000;
const UP_DEADLINE_MS = 90_000;
const RECOVERY_DEADLINE_MS = 60_000;
const LEADER_DEADLINE_MS = 5_000;
const STATUS_EVERY_MS = 250;
const CONTAINERS_EVERY_MS = 5_000;
const TRACES_DEADLINE_MS = 5_000;
const CALM_MS = 1_000;

/** Runs chaos to its verdict; the lab is gone afterwards. Rejects when no lab can be had. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { name, nodes, report, seed } = options;
  await labDown(name, () => {});
  report(`starting a lab of ${nodes} hosts (${name}); seed ${seed}`);
  try {
    await labUp({ name, nodes, faults: true, report: () => {} });
    const cluster = await LabCluster.open(name);
    await loadImage(name);
    const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
    try {
      return await new ChaosRun(cluster, client, options).run();
    } finally {
      client.close();
    }
  } finally {
    await labDown(name, () => {});
  }
}

async function loadImage(name: string): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/skein-chaos-`);
  try {
    await writeFile(`${directory}/image.tar`, await buildWorkImage());
    await labLoadImage(name, `${directory}/image.tar`, () => {});
  } finally {
    await rm(directory, { recursive: true });
  }
}

class ChaosRun {
  readonly #cluster: LabCluster;
  readonly #client: ApiClient;
  readonly #options: ChaosOptions;
  readonly #startMs = performance.now();
  readonly #harm = new Harm();
  readonly #leaders = new Leaders();
  readonly #availability = new Availability(this.#startMs);
  readonly #containers: Containers;
  readonly #clients: Clients;
  readonly #churn: Churn;
  readonly #journal: string[] = [];
  readonly #steps: StepOutcome[] = [];
  readonly #pauses: string[] = [];
  readonly #unrecovered: string[] = [];

  constructor(cluster: LabCluster, client: ApiClient, options: ChaosOptions) {
    this.#cluster = cluster;
    this.#client = client;
    this.#options = options;
    const random = seededRandom(options.seed).fork();
    const common = { client, hosts: cluster.hosts, namespace: NAMESPACE };
    this.#containers = new Containers(cluster, this.#harm);
    this.#clients = new Clients({
      ...common,
      random: random.fork(),
      onAcknowledged: () => this.#availability.acknowledged(performance.now()),
      excused: (host, sinceMs) => this.#harm.excused(host, sinceMs),
    });
    this.#churn = new Churn({
      ...common,
      random: random.fork(),
      report: (line) => this.#say(line),
    });
  }

  async run(): Promise<ChaosResult> {
    const { minutes, signal } = this.#options;
    await this.#prepare();
    const time = AbortSignal.timeout(minutes * 60_000);
    const end = signal ? AbortSignal.any([time, signal]) : time;
    const quiet = new AbortController();
    const background = Promise.all([
      this.#clients.run(quiet.signal),
      this.#watchStatus(quiet.signal),
      this.#watchContainers(quiet.signal),
    ]);
    const churning = this.#churn.run(end);
    await this.#breakThings(end);
    await churning;
    await pause(CALM_MS);
    quiet.abort();
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

  /** One step after the other; a host that cannot be brought back ends it. */
  async #breakThings(end: AbortSignal): Promise<void> {
    const { seed, kinds } = this.#options;
    const hosts = this.#cluster.hosts.length;
    for (const step of planSteps({ seed, hosts, ...(kinds ? { kinds } : {}) })) {
      if (end.aborted) return;
      try {
        await this.#step(step, end);
      } catch (error) {
        this.#unrecovered.push(`step ${step.number}: ${messageOf(error)}`);
        this.#say(`FAILED: ${messageOf(error)}`);
        return;
      }
      await pause(step.quietMs, end);
    }
  }

  async #step(step: Step, end: AbortSignal): Promise<void> {
    const fromMs = performance.now();
    const lasting = AbortSignal.any([end, AbortSignal.timeout(step.lastMs)]);
    const harmed: (() => void)[] = [];
    for (const fault of step.faults) {
      harmed.push(await this.#begin(step, fault, lasting));
    }
    await pause(Math.max(0, step.lastMs - (performance.now() - fromMs)), end);
    const endMs = performance.now();
    await this.#mend();
    for (const over of harmed) over();
    const nowMs = performance.now();
    const recoveryMs = nowMs - endMs;
    const pauseMs = this.#availability.longest(fromMs, nowMs);
    this.#steps.push({ kinds: step.faults.map(({ kind }) => kind), pauseMs, recoveryMs });
    const leader = (await this.#cluster.leaderNow()) ?? 'nobody';
    this.#say(
      `    all well after ${seconds(recoveryMs)}; longest pause of writes ${seconds(pauseMs)}; ${leader} leads`,
    );
    const all = step.faults.some(({ kind }) => faultOf(kind).harms === 'all');
    if (pauseMs > PAUSE_MS_MAX && !all) {
      this.#pauses.push(`step ${step.number}: ${seconds(pauseMs)} without an acknowledged write`);
    }
  }

  /** Resolves when the fault is there; the function that it answers is to be called when it has ended. */
  async #begin(step: Step, planned: PlannedFault, signal: AbortSignal): Promise<() => void> {
    const { hosts } = this.#cluster;
    const fault = faultOf(planned.kind);
    const drawn = hosts[planned.victim] ?? '';
    const leader = await this.#cluster.leader(LEADER_DEADLINE_MS).catch(() => drawn);
    const victim = fault.victim === 'leader' ? leader : drawn;
    const rest = hosts.filter((host) => host !== victim);
    const other = rest[planned.other % rest.length] ?? '';
    const leads = victim === leader ? ', which leads' : '';
    const { amount } = planned;
    const lasts = fault.alone && step.lastMs < CALM_MS ? '' : `, for ${seconds(step.lastMs)}`;
    this.#say(
      `${step.number}. ${victim}${leads}: ${fault.says({ other, amount })}${lasts} [${planned.kind}]`,
    );
    const over = this.#harm.begin(fault.harms === 'all' ? hosts : [victim]);
    const [cluster, harm] = [this.#cluster, this.#harm];
    const report = (line: string) => this.#say(`    ${line}`);
    await fault.begin({ cluster, harm, victim, other, amount, signal, report });
    return over;
  }

  /** Ends every fault, starts whatever is down, and waits until all follow one leader. */
  async #mend(): Promise<void> {
    await this.#cluster.heal();
    for (const host of this.#cluster.hosts) {
      await waitUntil(
        `${host} to be up`,
        async () => {
          if (await this.#cluster.status(host)) return true;
          await this.#cluster.startHost(host).catch((error: unknown) => {
            this.#say(`    ${host} did not start: ${messageOf(error)}`);
            throw error;
          });
          return false;
        },
        { deadlineMs: UP_DEADLINE_MS },
      );
    }
    await waitUntil(
      'all hosts to follow one leader as its voters',
      async () => {
        const all = await Promise.all(
          this.#cluster.hosts.map((host) => this.#cluster.status(host)),
        );
        const views = all.map((status) =>
          status?.quorum ? `${status.leader?.node} in term ${status.term}` : 'nobody',
        );
        const voters = all[0]?.members.filter(({ role }) => role === 'voter').length ?? 0;
        const wanted = all[0]?.votersWanted ?? 0;
        if (new Set(views).size === 1 && !views.includes('nobody') && voters === wanted)
          return true;
        throw new Error(`they follow ${views.join(', ')}; ${voters} of ${wanted} vote`);
      },
      { deadlineMs: RECOVERY_DEADLINE_MS },
    );
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
    const { lost, wrong } = await this.#audit();
    await this.#clients.end();
    for (const host of this.#cluster.hosts) {
      await this.#containers.look(host);
      await this.#leaders.readLog(`${this.#cluster.directory(host)}/skein.log`).catch(() => {});
    }
    const durationMs = performance.now() - this.#startMs;
    const faults = this.#clients.checkHistories();
    const texts = (kind: 'stale' | 'contradiction') =>
      faults.filter((fault) => fault.kind === kind).map(({ text }) => text);
    const verdict: Verdict = {
      seed: this.#options.seed,
      durationMs,
      operations: this.#clients.tally,
      steps: this.#steps,
      terms: this.#leaders.terms,
      containers: this.#containers.known,
      churn: this.#churn.tally,
      longestPauseMs: this.#availability.longest(this.#startMs, performance.now()),
      violations: {
        lost,
        stale: texts('stale'),
        contradictions: texts('contradiction'),
        leaders: this.#leaders.duplicates,
        answers: this.#clients.wrongAnswers,
        differences: wrong,
        containers: this.#containers.needless,
        availability: this.#pauses,
        recovery: this.#unrecovered,
        leftovers: [],
      },
    };
    const kept = passed(verdict) ? undefined : await this.#keep(verdict);
    const leftovers = await this.#takeDown();
    return {
      verdict: { ...verdict, violations: { ...verdict.violations, leftovers } },
      clients: this.#clients,
      kept,
    };
  }

  async #audit(): Promise<{ lost: readonly string[]; wrong: readonly string[] }> {
    try {
      await this.#cluster.settled();
      const cluster = this.#cluster;
      const { lost, wrong } = await audit({
        cluster,
        client: this.#client,
        clients: this.#clients,
        namespace: NAMESPACE,
      });
      const work = await this.#churn.settled().then(
        () => [],
        (error: unknown) => [`work: ${messageOf(error)}`],
      );
      return { lost, wrong: [...wrong, ...work] };
    } catch (error) {
      return { lost: [], wrong: [`no audit: ${messageOf(error)}`] };
    }
  }

  /** Everything of the lab but what Docker keeps, the history and the journal. */
  async #keep(verdict: Verdict): Promise<string> {
    const { keepBelow, seed } = this.#options;
    const stamp = new Date().toISOString().replaceAll(':', '-');
    const directory = `${keepBelow}/seed-${seed}-${stamp}`;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const host of this.#cluster.hosts) {
      const from = this.#cluster.directory(host);
      for (const path of ['skein.log', 'dockerd.log', 'root/var/lib/skein']) {
        await cp(`${from}/${path}`, `${directory}/${host}/${path}`, {
          recursive: true,
          filter: (source) => !source.endsWith('.sock'),
        }).catch((error: unknown) => this.#say(`could not keep ${path}: ${messageOf(error)}`));
      }
    }
    const { history } = this.#clients;
    const operations = history.keys.flatMap((key) => history.of(key));
    const lines = operations.map((operation) => JSON.stringify(operation));
    await writeFile(`${directory}/history.jsonl`, `${lines.join('\n')}\n`);
    await writeFile(`${directory}/journal.txt`, `${this.#journal.join('\n')}\n`);
    await writeFile(`${directory}/verdict.json`, `${JSON.stringify(verdict, null, 2)}\n`);
    return directory;
  }

  /** Takes the lab down; answers what is left of it. */
  async #takeDown(): Promise<readonly string[]> {
    const { name } = this.#options;
    const { index } = (await loadLab(name)).state;
    await labDown(name, () => {});
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
