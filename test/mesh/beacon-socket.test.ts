import { createSocket } from 'node:dgram';
import t from 'tap';
import { multicastBeacon } from '../../src/mesh/beacon-socket.ts';
import { until } from './support.ts';

/** A UDP port nobody uses at this moment. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

t.test('beacon: everybody on the link hears a call, as it was sent', async (t) => {
  const options = { interfaceAddress: '127.0.0.1', port: await freePort() };
  const heard: string[][] = [[], []];
  const [one, other] = await Promise.all(
    heard.map((list) =>
      multicastBeacon(options)((packet) => list.push(Buffer.from(packet).toString())),
    ),
  );
  t.teardown(() => {
    one?.close();
    other?.close();
  });
  one?.send(Buffer.from('from one'));
  other?.send(Buffer.from('from the other'));
  await until(() => heard.every((list) => list.length === 2));
  for (const list of heard) t.strictSame(list.sort(), ['from one', 'from the other']);
});
