/**
 * What runs on a host, found by looking: a command that was killed could not write down what it had started. Whatever
 * is in a host's network namespace is of that host.
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { identify, type ProcessId, signalProcess, waitGone } from './processes.ts';
import type { HostProcesses } from './state.ts';

type Found = ProcessId & {
  /** How many pid namespaces it is in, the machine's counted as one. */
  readonly levels: number;
  /** Its number in the innermost. */
  readonly innerPid: number;
  readonly command: string;
};

/** A host's own pid namespace; containers are one further in. */
const HOST_LEVELS = 2;
const END_DEADLINE_MS = 10_000;
const DOCKERD = /^dockerd( |$)/;
const SKEIN = /\/src\/cli\/main\.ts (up|join) /;

/** Every process in a named network namespace; none if there is no such namespace. */
async function processesIn(netns: string): Promise<readonly Found[]> {
  const namespace = await stat(`/run/netns/${netns}`).catch(() => undefined);
  if (namespace === undefined) return [];
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const own = await stat(`/proc/${pid}/ns/net`).catch(() => undefined);
      return own?.ino === namespace.ino ? describe(Number(pid)) : undefined;
    }),
  );
  return found.filter((process) => process !== undefined);
}

async function describe(pid: number): Promise<Found | undefined> {
  const [id, status = '', arguments_ = ''] = await Promise.all([
    identify(pid),
    readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
  ]);
  if (id === undefined) return undefined;
  const pids = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
  const command = arguments_.replaceAll('\0', ' ');
  return { ...id, levels: pids.length, innerPid: Number(pids.at(-1)), command };
}

/** The processes of a host that a lab keeps books of. */
export async function findHostProcesses(netns: string): Promise<HostProcesses> {
  const own = (await processesIn(netns)).filter(({ levels }) => levels === HOST_LEVELS);
  const idOf = (found: Found | undefined): ProcessId | undefined =>
    found && { pid: found.pid, startTime: found.startTime };
  const init = idOf(own.find(({ innerPid }) => innerPid === 1));
  const dockerd = idOf(own.find(({ command }) => DOCKERD.test(command)));
  const skein = idOf(own.find(({ command }) => SKEIN.test(command)));
  return { ...(init && { init }), ...(dockerd && { dockerd }), ...(skein && { skein }) };
}

/** SIGKILLs everything in a named network namespace; resolves when it is gone. */
export async function endAllIn(netns: string): Promise<void> {
  const deadline = performance.now() + END_DEADLINE_MS;
  for (;;) {
    const left = await processesIn(netns);
    if (left.length === 0 || performance.now() > deadline) return;
    for (const process of left) await signalProcess(process, 'SIGKILL');
    for (const process of left) await waitGone(process, END_DEADLINE_MS);
  }
}
