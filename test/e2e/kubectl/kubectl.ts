/** kubectl in one namespace, for tests: short to call, honest about exit codes, and with its long-running commands under control. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Test } from 'tap';
import type { TestCluster } from '../support/cluster.ts';

export type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

export type RunOptions = {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
};

const DEADLINE_MS = 90_000;
/** What a running command has to say comes within this time. */
const WORD_DEADLINE_MS = 30_000;

/**
 * The first argument of every call is split at its spaces, the others are taken as they are:
 * `k.run('patch configmap a -p', '{"data": {"b": "c d"}}')`.
 */
export class Kubectl {
  readonly cluster: TestCluster;
  readonly namespace: string;

  private constructor(cluster: TestCluster, namespace: string) {
    this.cluster = cluster;
    this.namespace = namespace;
  }

  /** kubectl in a fresh namespace of that name. */
  static async inNamespace(cluster: TestCluster, namespace: string): Promise<Kubectl> {
    const k = new Kubectl(cluster, namespace);
    await k.run(`create namespace ${namespace}`);
    // Pods need the account that the namespace is about to get.
    await k.run('wait --for=create serviceaccount/default --timeout=30s');
    return k;
  }

  /** Standard output; rejects with what kubectl said when it fails. */
  async run(line: string, ...more: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try([line, ...more]);
    if (code === 0) return stdout;
    throw new Error(`kubectl ${[line, ...more].join(' ')}: exit ${code}: ${stderr || stdout}`);
  }

  /** What kubectl says on standard error as it fails; rejects if it does not. */
  async fails(line: string, ...more: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try([line, ...more]);
    if (code !== 0) return stderr;
    throw new Error(`kubectl ${[line, ...more].join(' ')} did not fail: ${stdout}`);
  }

  /** Standard output of a command that reads `input`. */
  async feed(input: string, line: string, ...more: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try([line, ...more], { input });
    if (code === 0) return stdout;
    throw new Error(`kubectl ${[line, ...more].join(' ')}: exit ${code}: ${stderr || stdout}`);
  }

  apply(text: string): Promise<string> {
    return this.feed(text, 'apply -f -');
  }

  async get<T>(kindAndName: string): Promise<T> {
    return JSON.parse(await this.run(`get ${kindAndName} -o json`)) as T;
  }

  async list<T>(line: string): Promise<readonly T[]> {
    return (await this.get<{ items: T[] }>(line)).items;
  }

  /** Runs to the end, whatever it is. */
  try(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = this.#spawn('kubectl', this.#args(words), options.env);
      const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
      const output = gather(child);
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(deadline);
        resolve({ code: code ?? 137, ...output });
      });
      child.stdin.end(options.input ?? '');
    });
  }

  /** Starts a command that goes on; it ends with the test at the latest. */
  start(t: Test, line: string, ...more: readonly string[]): Running {
    return this.#running(t, 'kubectl', this.#args([line, ...more]));
  }

  /** Starts a command line on a terminal of its own; `$kubectl` in it stands for kubectl in this namespace. */
  onTerminal(t: Test, commandLine: string): Running {
    const script = commandLine.replaceAll('$kubectl', `kubectl -n ${this.namespace}`);
    return this.#running(t, 'script', ['-qefc', script, '/dev/null']);
  }

  #running(t: Test, program: string, args: readonly string[]): Running {
    const running = new Running(this.#spawn(program, args));
    t.teardown(() => running.stop());
    return running;
  }

  #args([line = '', ...more]: readonly string[]): string[] {
    return ['-n', this.namespace, ...line.split(' '), ...more];
  }

  #spawn(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): ChildProcessWithoutNullStreams {
    const { kubeconfig } = this.cluster;
    const child = spawn(program, args, { env: { ...process.env, KUBECONFIG: kubeconfig, ...env } });
    child.stdin.on('error', () => {});
    return child;
  }
}

function gather(child: ChildProcessWithoutNullStreams): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (chunk: Buffer) => {
      output[stream] += chunk.toString('utf8');
    });
  }
  return output;
}

/** A command that goes on until it is told to stop. */
export class Running {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: { stdout: string; stderr: string };
  readonly #ended: Promise<number>;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#output = gather(child);
    this.#ended = new Promise((resolve) => {
      child.once('close', (code) => resolve(code ?? 137));
    });
  }

  /** Everything said so far on both outputs. */
  get text(): string {
    return this.#output.stdout + this.#output.stderr;
  }

  /** Resolves with the match once the output has it; rejects at a deadline, or when the command ends without. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const silent = AbortSignal.timeout(WORD_DEADLINE_MS);
    for (;;) {
      const match = pattern.exec(this.text);
      if (match !== null) return match;
      const over = this.#child.exitCode !== null && this.#child.stdout.readableEnded;
      if (over || silent.aborted) throw new Error(`${pattern} was not said, but: ${this.text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Ends the command's input. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** Resolves with the exit code. */
  ended(): Promise<number> {
    return this.#ended;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), 2_000);
    await this.#ended;
    clearTimeout(hard);
  }
}
