/**
 * A lab cluster for one test file: real hosts, real containers, real kubectl. It ends with the file, also when
 * the file fails or is told to stop.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import { buildImages } from '../../../scripts/lib/images.ts';
import { LabCluster, type Output, outputOf } from '../../../src/lab/cluster.ts';
import * as lab from '../../../src/lab/index.ts';
import { loadLab } from '../../../src/lab/state.ts';
import { waitUntil } from '../../../src/lab/wait.ts';
import { claimLab } from './claim.ts';

export type { Output } from '../../../src/lab/cluster.ts';

export type ClusterOptions = {
  /** Names the lab; 12 characters at most, one per test file. */
  readonly name: string;
  /** Default 3. */
  readonly nodes?: number;
  /** Further flags for every node. */
  readonly flags?: readonly string[];
  /** Put the test images on every host. Default true; tests without pods save the time. */
  readonly images?: boolean;
  /** How Docker is set up on the hosts. Default bare. */
  readonly docker?: lab.DockerSetup;
  /** Make disks and clocks that can be broken. Default false. */
  readonly faults?: boolean;
};

export type KubectlOptions = {
  readonly input?: string;
  /** Ask this host's API rather than the current context's. */
  readonly host?: string;
  /** Default 60 s. */
  readonly deadlineMs?: number;
};

const DEADLINE_MS = 60_000;
const quiet = (): void => {};

export class TestCluster extends LabCluster {
  /** Brings a fresh lab up with the test images on every host; it goes down with `t`. */
  static async start(t: Test, options: ClusterOptions): Promise<TestCluster> {
    const { name, nodes = 3, images = true, ...rest } = options;
    // The runner's deadline is the only one: tap's default of 30 s suits no lab.
    t.setTimeout(0);
    await claimLab(name);
    const end = () => lab.labDown(name, quiet);
    await end();
    t.teardown(end);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGALRM'] as const) {
      process.once(signal, () => void end().finally(() => process.exit(1)));
    }
    await lab.labUp({ ...rest, name, nodes, report: quiet });
    const cluster = new TestCluster(name, (await loadLab(name)).plan);
    if (!images) return cluster;
    const directory = await mkdtemp(`${tmpdir()}/skein-images-`);
    try {
      await writeFile(`${directory}/images.tar`, await buildImages());
      await lab.labLoadImage(name, `${directory}/images.tar`, quiet);
    } finally {
      await rm(directory, { recursive: true });
    }
    return cluster;
  }

  /** Runs kubectl; rejects with what it said when it fails. */
  async kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(args, options);
    if (code === 0) return stdout;
    throw new Error(`kubectl ${args.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}`);
  }

  /** Runs kubectl and answers how it went. */
  tryKubectl(args: readonly string[], options: KubectlOptions = {}): Promise<Output> {
    const { input, host, deadlineMs = DEADLINE_MS } = options;
    const context = host === undefined ? [] : ['--context', host];
    const child = spawn('kubectl', [...context, ...args], {
      env: { ...process.env, KUBECONFIG: this.kubeconfig },
    });
    child.stdin.on('error', quiet);
    child.stdin.end(input ?? '');
    return outputOf(child, deadlineMs);
  }

  /** An object as kubectl gets it. */
  async get<T>(
    kind: string,
    name: string,
    options: KubectlOptions & { namespace?: string } = {},
  ): Promise<T> {
    const namespace = options.namespace === undefined ? [] : ['-n', options.namespace];
    return JSON.parse(
      await this.kubectl(['get', kind, name, '-o', 'json', ...namespace], options),
    ) as T;
  }

  /** Applies YAML or JSON text. */
  apply(text: string, options: KubectlOptions = {}): Promise<string> {
    return this.kubectl(['apply', '-f', '-'], { ...options, input: text });
  }
}

/** Polls until `probe` answers something; rejects naming `what` (and the last error) at the deadline. */
export function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  return waitUntil(what, probe, { deadlineMs });
}
