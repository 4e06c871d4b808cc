/** What the machine itself can do, to read other figures by: one fdatasync, one round trip, its cores. */

import { mkdtemp, open, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { availableParallelism, cpus } from 'node:os';
import type { BenchHosts } from './bench-hosts.ts';

export type Hardware = {
  readonly cores: string;
  /** Overwrite 4 KiB of a file that is there, and make it durable. */
  readonly syncMs: { readonly p50: number; readonly p99: number };
  /** One byte there and back over TCP, between the machine and a host of the lab. */
  readonly roundTripMs: { readonly p50: number; readonly p99: number };
};

const SYNCS = 500;
const ROUND_TRIPS = 2_000;
const ECHO_PORT = 7100;
const ECHO = `require('net').createServer({ noDelay: true }, (s) => s.pipe(s)).listen(${ECHO_PORT}, '0.0.0.0')`;

/** Measures on the hosts' disk and wire. */
export async function measureHardware(lab: BenchHosts): Promise<Hardware> {
  const [model = 'unknown'] = cpus().map(({ model }) => model.trim());
  return {
    cores: `${availableParallelism()} cores (${model})`,
    syncMs: await measureSync(lab.hosts[0]?.dir ?? '/tmp'),
    roundTripMs: await measureRoundTrip(lab),
  };
}

async function measureSync(parent: string): Promise<Hardware['syncMs']> {
  const directory = await mkdtemp(`${parent}/sync-`);
  try {
    const handle = await open(`${directory}/file`, 'w');
    await handle.write(Buffer.alloc(4096 * SYNCS, 1), 0);
    await handle.sync();
    const block = Buffer.alloc(4096, 2);
    const times: number[] = [];
    for (let at = 0; at < SYNCS; at++) {
      const startMs = performance.now();
      await handle.write(block, 0, block.length, at * block.length);
      await handle.datasync();
      times.push(performance.now() - startMs);
    }
    await handle.close();
    return percentiles(times);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureRoundTrip(lab: BenchHosts): Promise<Hardware['roundTripMs']> {
  const [host] = lab.hosts;
  if (host === undefined) throw new Error('there are no hosts');
  const echo = await lab.start(host, 'echo', [process.execPath, '-e', ECHO]);
  try {
    const socket = await dial(host.address);
    const times: number[] = [];
    await new Promise<void>((resolve, reject) => {
      let startMs = performance.now();
      socket.on('error', reject);
      socket.on('data', () => {
        times.push(performance.now() - startMs);
        if (times.length >= ROUND_TRIPS) return resolve();
        startMs = performance.now();
        socket.write('x');
      });
      socket.write('x');
    });
    socket.destroy();
    return percentiles(times.slice(ROUND_TRIPS / 2));
  } finally {
    await echo.kill();
  }
}

/** The echo takes a moment to listen. */
async function dial(host: string): Promise<ReturnType<typeof connect>> {
  for (let attempt = 0; ; attempt++) {
    const socket = connect({ host, port: ECHO_PORT, noDelay: true });
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    if (attempt > 250) throw new Error('the echo on a host does not listen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function percentiles(times: number[]): { p50: number; p99: number } {
  times.sort((left, right) => left - right);
  const at = (share: number) => times[Math.floor((times.length - 1) * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}
