/** Two hosts joined by a cable, each with the real network agents in its namespace, and pods to plug in. */

import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface, type Interface } from 'node:readline';
import type { HostAction } from '../agents/node/network/host-actions.ts';
import { TestNamespaces } from './netns.ts';

const ACTIONS = new URL('../agents/node/network/host-actions.ts', import.meta.url).pathname;

export type HostName = 'a' | 'b';
export const HOSTS = {
  a: { name: 'a', address: '10.78.0.1', podCidr: '10.244.1.0/24' },
  b: { name: 'b', address: '10.78.0.2', podCidr: '10.244.2.0/24' },
} as const;

type Agent = { readonly child: ChildProcess; readonly answers: AsyncIterator<string> };

export class TwoHosts {
  readonly namespaces = new TestNamespaces();
  readonly #agents = new Map<HostName, Agent>();
  #dir = '';

  async start(mode: 'vxlan' | 'auto' = 'vxlan'): Promise<void> {
    this.#dir = await mkdtemp(`${tmpdir()}/skein-hosts-`);
    for (const host of ['a', 'b'] as const) await this.namespaces.add(host);
    await this.namespaces.cable('a', 'b', ['10.78.0.1/24', '10.78.0.2/24']);
    for (const host of ['a', 'b'] as const) {
      // A way out, as real hosts have: without a route no packet to a service address is made.
      await this.namespaces.ip(host, 'route add default dev eth0');
      const command = [process.execPath, ACTIONS, HOSTS[host].podCidr, `${this.#dir}/${host}`];
      const child = this.namespaces.start(host, command);
      const lines: Interface = createInterface({ input: child.stdout as NodeJS.ReadableStream });
      this.#agents.set(host, { child, answers: lines[Symbol.asyncIterator]() });
      const linkCidrs = ['10.78.0.0/24'];
      await this.act(host, {
        do: 'network',
        self: HOSTS[host],
        others: Object.values(HOSTS),
        mode,
        linkCidrs,
      });
    }
  }

  /** Has a host's agents do something; rejects with their error. */
  async act<T>(host: HostName, action: HostAction): Promise<T> {
    const agent = this.#agents.get(host);
    if (!agent) throw new Error(`host ${host} was not started`);
    agent.child.stdin?.write(`${JSON.stringify(action)}\n`);
    const { value, done } = await agent.answers.next();
    if (done) throw new Error(`the agents of host ${host} ended`);
    const answer = JSON.parse(value) as { value: T; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.value;
  }

  /** Plugs a pod in and returns its address. */
  async addPod(host: HostName, label: string, hostPorts: readonly object[] = []): Promise<string> {
    await this.namespaces.add(label);
    const { ips } = await this.act<{ ips: string[] }>(host, {
      do: 'attach',
      containerId: `container-${label}`,
      netnsPath: this.namespaces.path(label),
      hostPorts: hostPorts as never,
    });
    return ips[0] ?? '';
  }

  /** Starts a TCP server that answers every connection with its pod's label; resolves when it listens. */
  async serve(label: string, port: number): Promise<void> {
    const script = `${this.#dir}/answer-${label}`;
    await writeFile(script, `#!/bin/sh\necho ${label}\n`, { mode: 0o755 });
    this.namespaces.start(label, ['busybox', 'nc', '-ll', '-p', String(port), '-e', script]);
    const deadline = performance.now() + 5000;
    while (!(await this.#listens(label, port))) {
      if (performance.now() > deadline) throw new Error(`the server in ${label} does not listen`);
    }
  }

  async #listens(label: string, port: number): Promise<boolean> {
    const sockets = await this.namespaces.run(label, ['busybox', 'netstat', '-ltn']);
    return sockets.includes(`:${port} `);
  }

  /** Connects from a namespace and returns what the server said; rejects when refused or silent. */
  async ask(from: string, address: string, port: number): Promise<string> {
    const command = ['busybox', 'nc', '-w', '3', address, String(port)];
    return (await this.namespaces.run(from, command, '')).trim();
  }

  async end(): Promise<void> {
    await this.namespaces.end();
    if (this.#dir !== '') await rm(this.#dir, { recursive: true, force: true });
  }
}
