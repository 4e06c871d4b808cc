import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { setTcpUserTimeout } from '../../src/lib/tcp-user-timeout.ts';

t.test('tcp: the user timeout of an open socket is set, that of a closed one is not', async (t) => {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer((socket) => accepted.resolve(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const socket = await accepted.promise;
  t.teardown(() => {
    client.destroy();
    server.close();
  });
  t.equal(setTcpUserTimeout(socket, 25_000), true);
  socket.destroy();
  await new Promise((resolve) => socket.once('close', resolve));
  t.equal(setTcpUserTimeout(socket, 25_000), false);
});
