/**
 * Hosts for a measurement: network namespaces on a lab's bridge and a directory each, all on the disk that holds labs. No
 * Docker, no Skein node: what runs there is the measurement's own.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { labDown } from '../../src/lab/index.ts';
import { ensureHostLink, ensureSwitch } from '../../src/lab/network.ts';
import type { HostPlan } from '../../src/lab/plan.ts';
import { createState, planOf } from '../../src/lab/state.ts';

/** A program on a host. Its standard streams go to a log file; `pid` is the machine's. */
export type Running = {
  readonly pid: number;
  readonly ended: Promise<void>;
  kill(): Promise<void>;
};

export type BenchHosts = {
  readonly hosts: readonly HostPlan[];
  start(
    host: HostPlan,
    name: string,
    command: readonly string[],
    env?: NodeJS.ProcessEnv,
  ): Promise<Running>;
  /** Ends what was started and leaves nothing behind. */
  end(): Promise<void>;
};

/** Makes `count` hosts under the lab name `name`; remains of an earlier run go first. */
export async function startBenchHosts(name: string, count: number): Promise<BenchHosts> {
  const quiet = () => {};
  await labDown(name, quiet);
  const plan = planOf(name, await createState(name, { nodes: count, flags: [] }));
  await ensureSwitch(plan);
  for (const host of plan.hosts) {
    await ensureHostLink(plan, host);
    await mkdir(host.dir, { recursive: true, mode: 0o700 });
  }
  const running = new Set<Running>();
  return {
    hosts: plan.hosts,
    async start(host, program, command, env = {}) {
      const log = await open(`${host.dir}/${program}.log`, 'a', 0o600);
      // Executes the program in its own place, so that the process's id is the program's.
      const child = spawn('ip', ['netns', 'exec', host.netns, ...command], {
        stdio: ['ignore', log.fd, log.fd],
        env: { ...process.env, ...env },
      });
      await log.close();
      const started = runningOf(child, `${program} on ${host.name}`);
      running.add(started);
      void started.ended.then(() => running.delete(started));
      return started;
    },
    async end() {
      await Promise.all([...running].map((one) => one.kill()));
      await labDown(name, quiet);
    },
  };
}

function runningOf(child: ChildProcess, what: string): Running {
  const { pid } = child;
  if (pid === undefined) throw new Error(`${what} did not start`);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  return {
    pid,
    ended,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
