/** Starts programs that outlive the command, finds out which process they became, and waits until they serve. */

import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import { identify, isAlive, type ProcessId, pause } from './processes.ts';

/** Within which a program must have started. */
export const START_DEADLINE_MS = 20_000;
const POLL_MS = 20;
const LOG_LINES_QUOTED = 5;

export type Launch = {
  /** Named in errors. */
  readonly what: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Output is appended here; made 0600. */
  readonly logFile: string;
};

/** Starts a program detached from us. Rejects with command-failed when it cannot be run. */
export async function launch({ what, program, args, logFile }: Launch): Promise<ChildProcess> {
  const log = await open(logFile, 'a', 0o600);
  try {
    const child = spawn(program, [...args], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        const text = `${what} did not start: ${cause.message}`;
        reject(new SkeinError('command-failed', text, { cause }));
      });
    });
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

/** The one child of a launcher that enters namespaces and forks (nsenter --pid, unshare --fork). */
export async function childOf(parent: ChildProcess, { what, logFile }: Launch): Promise<ProcessId> {
  const deadline = performance.now() + START_DEADLINE_MS;
  const children = `/proc/${parent.pid}/task/${parent.pid}/children`;
  for (;;) {
    const [first] = (await readFile(children, 'utf8').catch(() => '')).trim().split(' ');
    const id = first ? await identify(Number(first)) : undefined;
    if (id) return id;
    const ended = parent.exitCode ?? parent.signalCode;
    if (ended !== null || performance.now() > deadline) {
      const how = ended === null ? 'timed out' : `ended with ${ended}`;
      const said = await endOf(logFile);
      throw new SkeinError('command-failed', `${what} did not start: ${how}${said}`);
    }
    await pause(POLL_MS);
  }
}

export type Waiting = {
  readonly what: string;
  readonly logFile: string;
  readonly process: ProcessId;
  /** Default START_DEADLINE_MS. */
  readonly deadlineMs?: number;
};

/** Waits until `ready` answers true; fails early, quoting the log's end, when the process dies. */
export async function waitFor(waiting: Waiting, ready: () => Promise<boolean>): Promise<void> {
  const { what, logFile, process, deadlineMs = START_DEADLINE_MS } = waiting;
  const deadline = performance.now() + deadlineMs;
  while (!(await ready())) {
    const alive = await isAlive(process);
    if (!alive || performance.now() > deadline) {
      const verb = alive ? `is not ready after ${deadlineMs / 1000} s` : 'ended';
      throw new SkeinError('command-failed', `${what} ${verb}${await endOf(logFile)}`);
    }
    await pause(POLL_MS);
  }
}

async function endOf(logFile: string): Promise<string> {
  const text = (await readFile(logFile, 'utf8').catch(() => '')).trim();
  if (text === '') return '';
  return `; the end of ${logFile}:\n${text.split('\n').slice(-LOG_LINES_QUOTED).join('\n')}`;
}
