/** What a failed run leaves to those who look for the reason: logs, data directories, operations, journal, verdict. */

import { cp, mkdir, writeFile } from 'node:fs/promises';
import type { LabCluster } from '../lab/cluster.ts';
import { messageOf } from '../lib/errors.ts';
import type { History } from './history.ts';
import type { Verdict } from './verdict.ts';

export type Evidence = {
  readonly cluster: LabCluster;
  readonly history: History;
  readonly journal: readonly string[];
  readonly verdict: Verdict;
};

/** Of each host; the rest is what Docker keeps. */
const PATHS = ['skein.log', 'dockerd.log', 'root/var/lib/skein'];

/** Keeps it in a directory of its own below `below`, readable by its owner alone; answers which. What cannot be kept is told. */
export async function keepEvidence(
  { cluster, history, journal, verdict }: Evidence,
  below: string,
  report: (line: string) => void,
): Promise<string> {
  const stamp = new Date().toISOString().replaceAll(':', '-');
  const directory = `${below}/seed-${verdict.seed}-${stamp}`;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const host of cluster.hosts) {
    for (const path of PATHS) {
      await cp(`${cluster.directory(host)}/${path}`, `${directory}/${host}/${path}`, {
        recursive: true,
        filter: (source) => !source.endsWith('.sock'),
      }).catch((error: unknown) =>
        report(`could not keep ${path} of ${host}: ${messageOf(error)}`),
      );
    }
  }
  const operations = history.keys.flatMap((key) => history.of(key));
  const lines = operations.map((operation) => JSON.stringify(operation));
  await writeFile(`${directory}/history.jsonl`, `${lines.join('\n')}\n`);
  await writeFile(`${directory}/journal.txt`, `${journal.join('\n')}\n`);
  await writeFile(`${directory}/verdict.json`, `${JSON.stringify(verdict, null, 2)}\n`);
  return directory;
}
