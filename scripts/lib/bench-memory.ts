/**
 * A hundred thousand pods of 2 kB on one node: what they take resident, held, listed and watched; how long a list of all
 * of them takes and the event loop stands still meanwhile; and how soon the node is back with them after a kill.
 */

import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { labKill, labStart } from '../../src/lab/index.ts';
import type { Row } from '../bench.ts';
import type { BenchLab } from './bench-lab.ts';
import { type LoadTarget, runLoad } from './http-load.ts';

const CONNECTIONS = 16;
/** Text of one pod as stored. */
const POD_BYTES = 2_000;
const RESIDENT_MIB_GOAL = 700;
const RESTART_SECONDS_GOAL = 5;
const RESTART_DEADLINE_MS = 60_000;
const PODS = '/api/v1/namespaces/default/pods';

/** A pod that nobody schedules, so that nothing but the store and its readers is measured. */
function pod(index: number): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `web-${index}`,
      labels: { app: 'web', 'pod-template-hash': `${index % 1000}` },
      annotations: { 'example.org/note': `${index} `.repeat(200).slice(0, 380) },
    },
    spec: {
      schedulerName: 'nobody',
      containers: [
        {
          name: 'main',
          image: 'registry.example.org/team/web:1.2.3',
          env: [{ name: 'INDEX', value: String(index) }],
          resources: { requests: { cpu: '10m', memory: '16Mi' } },
        },
      ],
    },
  });
}

/** All of the table's lines about memory. `lab` has one node and is used up. */
export async function benchMemory(lab: BenchLab, pods = 100_000): Promise<Row[]> {
  const target = lab.target(0);
  const before = await resident(await lab.skeinPid('node1'));
  const watch = openWatch(target, `${PODS}?watch=1&allowWatchBookmarks=true`);
  const created = await runLoad(target, { connections: CONNECTIONS, count: pods }, (index) => {
    return { method: 'POST', path: PODS, body: pod(index) };
  });
  if (Object.keys(created.refused).length > 0) {
    throw new Error(`pods were refused: ${JSON.stringify(created.refused)}`);
  }
  const held = await resident(await lab.skeinPid('node1'));
  await loopStallMs(target);
  const listed = await fetchAll(target, '/api/v1/pods');
  const listStallMs = await loopStallMs(target);
  const after = await resident(await lab.skeinPid('node1'));
  const watched = watch.end();
  const restartSeconds = await restart(lab, target, pods);
  const restarted = await resident(await lab.skeinPid('node1'));
  const size = Math.round(listed.bytes / pods);
  return [
    {
      what: `resident memory with ${pods} pods of ${size} bytes, created, listed and watched (${(watched / 2 ** 20).toFixed(0)} MiB of events read)`,
      measured: `${after.nowMib} MiB (before ${before.nowMib}, created ${held.nowMib}, peak ${after.peakMib}, after a restart ${restarted.nowMib})`,
      goal: `${RESIDENT_MIB_GOAL} MiB with pods of ${POD_BYTES} bytes`,
    },
    {
      what: `list of all ${pods} pods`,
      measured: `${listed.seconds.toFixed(1)} s, the loop stands still for ${listStallMs.toFixed(0)} ms at most`,
      goal: 'no goal',
    },
    {
      what: `restart after SIGKILL with ${pods} pods, until all are listed again`,
      measured: `${restartSeconds.toFixed(1)} s`,
      goal: `${RESTART_SECONDS_GOAL} s`,
    },
  ];
}

/** Resident memory of a process, now and at its highest. */
export async function resident(pid: number): Promise<{ nowMib: number; peakMib: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const mib = (field: string) =>
    Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
  return { nowMib: mib('VmRSS'), peakMib: mib('VmHWM') };
}

/** Longest delay of the event loop since the last call, from the node's own metrics. */
export async function loopStallMs(target: LoadTarget): Promise<number> {
  const { text } = await fetchAll(target, '/metrics', true);
  return Number(/^nodejs_eventloop_lag_max_seconds ([\d.e-]+)$/m.exec(text)?.[1] ?? 0) * 1000;
}

/** GETs a path and reads the answer to its end; its text only if it is to be kept. */
export function fetchAll(
  target: LoadTarget,
  path: string,
  keep = false,
): Promise<{ bytes: number; seconds: number; text: string }> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const get = request({ ...target, path, agent: false }, (response) => {
      let bytes = 0;
      let text = '';
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (keep) text += chunk.toString('latin1');
      });
      response.on('error', reject);
      response.on('end', () => {
        const seconds = (performance.now() - started) / 1000;
        if (response.statusCode === 200) resolve({ bytes, seconds, text });
        else reject(new Error(`${path}: ${response.statusCode}`));
      });
    });
    get.on('error', reject);
    get.end();
  });
}

/** Reads a watch as fast as it comes; `end` closes it and returns the bytes read. */
function openWatch(target: LoadTarget, path: string): { end(): number } {
  let bytes = 0;
  const get = request({ ...target, path, agent: false }, (response) => {
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    response.on('error', () => {});
  });
  get.on('error', () => {});
  get.end();
  return {
    end() {
      get.destroy();
      return bytes;
    },
  };
}

/** Seconds from the start of the process until a linearizable list shows every pod again. */
async function restart(lab: BenchLab, target: LoadTarget, pods: number): Promise<number> {
  await labKill({ name: lab.name, host: 'node1', wholeHost: false });
  const started = performance.now();
  const starting = labStart({ name: lab.name, host: 'node1', flags: ['--log-level=warn'] });
  for (;;) {
    const answer = await fetchAll(target, `${PODS}?limit=1`, true).catch(() => undefined);
    const rest = Number(/"remainingItemCount":(\d+)/.exec(answer?.text ?? '')?.[1] ?? 0);
    if (rest + 1 >= pods) break;
    if (performance.now() - started > RESTART_DEADLINE_MS) throw new Error('the node is not back');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const seconds = (performance.now() - started) / 1000;
  await starting;
  return seconds;
}
