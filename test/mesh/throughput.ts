/**
 * Prints what the mesh carries between two nodes of this process over loopback, so both ends share one
 * thread. Run by hand: `node test/mesh/throughput.ts`.
 */

import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { startCluster } from './support.ts';

const within = { deadlineMs: 30_000 };

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

async function requests(a: JoinableMesh, b: JoinableMesh, total: number, parallel: number) {
  let left = total;
  const worker = async () => {
    while (left-- > 0) await a.request(b.self, 'echo', { key: 'x' }, within);
  };
  return total / (await timed(() => Promise.all(Array.from({ length: parallel }, worker))));
}

async function bytes(a: JoinableMesh, b: JoinableMesh, total: number, frameBytes: number) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const protocol = `/bench/${frameBytes}`;
  b.handle(protocol, async (stream) => {
    for await (const _frame of stream.frames);
    resolve();
  });
  const stream = await a.openStream(b.self, protocol, within);
  const frame = new Uint8Array(frameBytes);
  const seconds = await timed(async () => {
    for (let sent = 0; sent < total; sent += frameBytes) await stream.send(frame);
    await stream.closeWrite();
    await promise;
  });
  stream.abort();
  return total / 1e6 / seconds;
}

const teardowns: (() => Promise<void> | void)[] = [];
const [a, b] = await startCluster({ teardown: (action) => void teardowns.push(action) }, 2);
if (a && b) {
  b.serve('echo', async (body) => body);
  await requests(a, b, 20_000, 16);
  const alone = await requests(a, b, 5000, 1);
  console.log(`requests one after the other: ${(1e6 / alone).toFixed(0)} us each`);
  console.log(`requests, 64 at a time: ${(await requests(a, b, 100_000, 64)).toFixed(0)} a second`);
  console.log(`stream, 256 KiB frames: ${(await bytes(a, b, 4e8, 256 * 1024)).toFixed(0)} MB/s`);
  console.log(`stream, 1 KiB frames: ${(await bytes(a, b, 1e8, 1024)).toFixed(0)} MB/s`);
}
for (const action of teardowns) await action();
