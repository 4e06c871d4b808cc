/**
 * Ten thousand watches on one node, over connections of their own: what each takes resident, how soon all of them have
 * been told of one change, and how long the event loop stands still meanwhile.
 */

import { connect, type TLSSocket } from 'node:tls';
import type { Row } from '../bench.ts';
import type { BenchLab } from './bench-lab.ts';
import { fetchAll, loopStallMs, resident } from './bench-memory.ts';
import { type LoadTarget, runLoad } from './http-load.ts';

const WATCHES = 10_000;
/** Handshakes under way at once. */
const OPENING = 32;
const CHANGES = 5;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const DEADLINE_MS = 60_000;
const EVENT = '"type":"ADDED"';

/** The table's line about watches. */
export async function benchWatches(lab: BenchLab, watches = WATCHES): Promise<Row[]> {
  const target = lab.target(0);
  const pid = await lab.skeinPid('node1');
  const { text } = await fetchAll(target, CONFIG_MAPS, true);
  const revision = /"resourceVersion":"(\d+)"/.exec(text)?.[1] ?? '0';
  const before = await resident(pid);
  let events = 0;
  const sockets: TLSSocket[] = [];
  let begun = 0;
  const openOne = async () => {
    while (begun < watches) {
      begun++;
      sockets.push(await openWatch(target, revision, sockets, () => events++));
    }
  };
  await Promise.all(Array.from({ length: OPENING }, openOne));
  const opened = await resident(pid);
  await loopStallMs(target);
  const times: number[] = [];
  for (let change = 1; change <= CHANGES; change++) {
    const body = JSON.stringify({ metadata: { name: `told-${change}` }, data: { x: 'y' } });
    const started = performance.now();
    await runLoad(target, { connections: 1, count: 1 }, () => {
      return { method: 'POST', path: CONFIG_MAPS, body };
    });
    while (events < change * sockets.length) {
      if (performance.now() - started > DEADLINE_MS) throw new Error('some were not told');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    times.push(performance.now() - started);
  }
  const stallMs = await loopStallMs(target);
  for (const socket of sockets) socket.destroy();
  const kib = ((opened.nowMib - before.nowMib) * 1024) / sockets.length;
  return [
    {
      what: `${sockets.length} watches over connections of their own, told of one change`,
      measured: `${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)} ms until all know, the loop stands still for ${stallMs.toFixed(0)} ms at most; ${kib.toFixed(0)} KiB resident for each, its TLS connection included`,
      goal: 'all are told',
    },
  ];
}

function openWatch(
  target: LoadTarget,
  revision: string,
  sockets: readonly TLSSocket[],
  onEvent: () => void,
): Promise<TLSSocket> {
  const { host, port, ca, cert, key } = target;
  const path = `${CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion=${revision}`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca, cert, key, ALPNProtocols: ['http/1.1'] }, () => {
      socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\n\r\n`);
    });
    let begun = false;
    socket.on('data', (data: Buffer) => {
      const text = data.toString('latin1');
      if (!begun) {
        begun = true;
        if (text.startsWith('HTTP/1.1 200')) resolve(socket);
        else reject(new Error(`watch ${sockets.length} was refused: ${text.slice(0, 200)}`));
      }
      if (text.includes(EVENT)) onEvent();
    });
    socket.once('error', reject);
  });
}
