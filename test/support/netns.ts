/** Network namespaces for tests: made, entered, and removed with every process that was started in them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { runCommand } from '../../src/lib/command.ts';

/** A set of namespaces that ends as a whole. Names carry the test's pid, so that runs never meet. */
export class TestNamespaces {
  readonly #names = new Map<string, string>();
  readonly #children = new Set<ChildProcess>();

  /** The real name of a namespace, made at first use with loopback up. */
  async add(label: string): Promise<string> {
    const name = `t${process.pid}-${label}`;
    await runCommand('ip', ['netns', 'add', name]);
    this.#names.set(label, name);
    await this.ip(label, 'link set lo up');
    return name;
  }

  path(label: string): string {
    return `/run/netns/${this.#nameOf(label)}`;
  }

  #nameOf(label: string): string {
    const name = this.#names.get(label);
    if (name === undefined) throw new Error(`no namespace ${label}`);
    return name;
  }

  /** Runs one `ip` command inside. */
  ip(label: string, line: string): Promise<string> {
    return runCommand('ip', ['-netns', this.#nameOf(label), ...line.split(' ')]);
  }

  /** Joins two namespaces by a cable. */
  async cable(a: string, b: string, addresses: readonly [string, string]): Promise<void> {
    const [left, right] = [this.#nameOf(a), this.#nameOf(b)];
    const link = ['link', 'add', 'eth0', 'netns', left, 'type', 'veth', 'peer', 'name', 'eth0'];
    await runCommand('ip', [...link, 'netns', right]);
    for (const [label, address] of [
      [a, addresses[0]],
      [b, addresses[1]],
    ] as const) {
      await this.ip(label, `addr add ${address} dev eth0`);
      await this.ip(label, 'link set eth0 up');
    }
  }

  /** Runs a program inside and resolves with its output; rejects when it fails. */
  run(label: string, command: readonly string[], input?: string): Promise<string> {
    const args = [`--net=${this.path(label)}`, ...command];
    return runCommand('nsenter', args, input === undefined ? {} : { input });
  }

  /** Starts a program inside that ends with this set. */
  start(label: string, command: readonly string[]): ChildProcess {
    const [program = '', ...args] = command;
    const child = spawn('nsenter', [`--net=${this.path(label)}`, program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async end(): Promise<void> {
    const ended = [...this.#children].map(
      (child) => new Promise((resolve) => child.once('exit', resolve)),
    );
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(ended);
    for (const name of this.#names.values()) await runCommand('ip', ['netns', 'del', name]);
    this.#names.clear();
  }
}
