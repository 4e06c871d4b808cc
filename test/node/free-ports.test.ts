import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { resolveConfig } from '../../src/node/config.ts';
import { checkPorts } from '../../src/node/free-ports.ts';

const configOf = (flags: object) =>
  resolveConfig({ flags: { bindAddress: '127.0.0.1', ...flags }, environment: {} }).config;

/** A port that somebody listens on, and one that nobody does. */
async function ports(t: { teardown(end: () => void): void }) {
  const open = () =>
    new Promise<ReturnType<typeof createServer>>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
    });
  const [taken, free] = [await open(), await open()];
  const portOf = (server: typeof taken) => (server.address() as AddressInfo).port;
  const result = { taken: portOf(taken), free: portOf(free) };
  await new Promise((resolve) => free.close(resolve));
  t.teardown(() => taken.close());
  return result;
}

t.test('free-ports: a port in use is told with the flag that chooses another', async (t) => {
  const { taken, free } = await ports(t);
  await t.rejects(checkPorts(configOf({ apiPort: taken, meshPort: free })), {
    code: 'config-invalid',
    message: new RegExp(`^--api-port: another program listens on port ${taken} of 127.0.0.1`),
  });
  await t.rejects(checkPorts(configOf({ apiPort: free, meshPort: taken })), {
    message: /^--mesh-port: another program listens/,
  });
});

t.test('free-ports: free ports are free again afterwards', async (t) => {
  const { free } = await ports(t);
  const { free: other } = await ports(t);
  const config = configOf({ apiPort: free, meshPort: other });
  await checkPorts(config);
  await checkPorts(config);
});

t.test('free-ports: an address of another machine is told as such', async (t) => {
  const { free } = await ports(t);
  await t.rejects(checkPorts(configOf({ apiPort: free, bindAddress: '192.0.2.1' })), {
    code: 'config-invalid',
    message: /^--bind-address: 192\.0\.2\.1 is no address of this machine/,
  });
});
