/** What the kernel says of a process: whether it is the same one, and what it holds. */

import { readdir, readFile } from 'node:fs/promises';

export type ProcessFacts = {
  readonly pid: number;
  readonly startTime: string;
  readonly descriptors: number;
  readonly residentMb: number;
};

/** Facts of a living process; rejects when it is gone. */
export async function processFacts(pid: number): Promise<ProcessFacts> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return {
    pid,
    startTime: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '',
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    residentMb: Math.round(Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0) / 1024),
  };
}
