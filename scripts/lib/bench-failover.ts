/** Fail-over: SIGKILL of the leader's process under constant writes, until the next acknowledged one. */

import { labKill, labStart, labStatus } from '../../src/lab/index.ts';
import type { Row } from '../bench.ts';
import type { BenchLab } from './bench-lab.ts';
import { runLoad } from './http-load.ts';

const KILLS = 20;

/** Milliseconds from the kill to the next write acknowledged by a surviving node. */
async function oneFailover(lab: BenchLab, round: number): Promise<number> {
  const status = await labStatus(lab.name);
  const leader = status.hosts.find((host) => host.status?.role === 'leader')?.host;
  const survivor = status.hosts.findIndex((host) => host.host !== leader);
  const target = lab.target(survivor);
  const write = (name: string) => ({
    method: 'POST',
    path: '/api/v1/namespaces/default/configmaps',
    body: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } }),
  });
  await runLoad(target, { connections: 1, count: 3 }, (i) => write(`before-${round}-${i}`));
  const pid = await lab.skeinPid(leader ?? '');
  process.kill(pid, 'SIGKILL');
  const killed = performance.now();
  for (let attempt = 0; ; attempt++) {
    const result = await runLoad(target, { connections: 1, count: 1 }, () =>
      write(`after-${round}-${attempt}`),
    ).catch(() => undefined);
    if (result && Object.keys(result.refused).length === 0) break;
  }
  const ms = performance.now() - killed;
  await labKill({ name: lab.name, host: leader ?? '', wholeHost: false });
  await labStart({ name: lab.name, host: leader ?? '' });
  return ms;
}

/** Median and worst of twenty. */
export async function benchFailover(lab: BenchLab): Promise<Row[]> {
  const times: number[] = [];
  for (let round = 0; round < KILLS; round++) times.push(await oneFailover(lab, round));
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const worst = times.at(-1) ?? 0;
  return [
    {
      what: `SIGKILL of the leader to the next acknowledged write, ${KILLS} times`,
      measured: `median ${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms`,
      goal: 'median 1000 ms, worst 3000 ms',
    },
  ];
}
