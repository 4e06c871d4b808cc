import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { AddressBook } from '../../../../agents/node/network/address-book.ts';
import type { CniConfig } from '../../../../agents/node/network/cni.ts';
import {
  createPodNetwork,
  type NetworkTarget,
  type PublishedPort,
} from '../../../../agents/node/network/pod-network.ts';
import { SkeinError } from '../../../../src/lib/errors.ts';
import { silentLogger } from '../../../../src/lib/logger.ts';

const CONFIG: CniConfig = { cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'ptp' }] };
const PORT: PublishedPort = { containerPort: 80, hostPort: 8080, protocol: 'TCP' };
const { signal } = new AbortController();

const target = (containerId: string, more: Partial<NetworkTarget> = {}): NetworkTarget => ({
  podUid: `uid of ${containerId}`,
  namespace: 'default',
  name: 'web',
  containerId,
  netnsPath: '/run/netns/x',
  hostPorts: [],
  ...more,
});

/** A CNI whose plugins refuse what real ones refuse: a second ADD of a container that was not deleted. */
function world(t: Test) {
  const stateDir = t.testdir();
  const calls: string[] = [];
  const held = new Map<string, string>();
  const fault = { add: undefined as Error | undefined, del: undefined as Error | undefined };
  let next = 2;
  const open = () =>
    createPodNetwork({
      cni: {
        async add(config, { containerId, args: { IP: asked } }) {
          const types = config.plugins.map(({ type }) => type).join(',');
          calls.push(`add ${containerId} ${types}${asked === undefined ? '' : ` asking ${asked}`}`);
          if (held.has(containerId)) throw new SkeinError('network-failed', 'duplicate allocation');
          if (asked !== undefined && [...held.values()].includes(asked)) {
            throw new SkeinError('network-failed', 'the address is taken');
          }
          held.set(containerId, asked ?? `10.244.0.${next++}`);
          if (fault.add) throw fault.add;
          return { ips: [{ address: `${held.get(containerId)}/24` }] };
        },
        async del(_config, { containerId, netnsPath }) {
          calls.push(`del ${containerId} ${netnsPath}`);
          if (fault.del) throw fault.del;
          held.delete(containerId);
        },
      },
      config: async () => CONFIG,
      publish: async (owner, ip, ports) => {
        calls.push(`publish ${owner} ${ip} ${ports.map(({ hostPort }) => hostPort).join(',')}`);
      },
      stateDir,
      log: silentLogger,
    });
  return { open, calls, held, fault, stateDir };
}

t.test(
  'pod-network: attaching again answers the same addresses, also in a new process',
  async (t) => {
    const { open, calls } = world(t);
    const first = await open().attach(target('c1'), signal);
    t.strictSame(first, { ips: ['10.244.0.2'] });
    t.strictSame(await open().attach(target('c1'), signal), first);
    t.strictSame(calls, ['add c1 ptp']);
  },
);

t.test('pod-network: detaching twice, or what was never attached, is no error', async (t) => {
  const { open, held, calls, stateDir } = world(t);
  const network = open();
  await network.attach(target('c1', { hostPorts: [PORT] }), signal);
  await network.detach(target('c1'), signal);
  await network.detach(target('c1'), signal);
  await network.detach(target('c9'), signal);
  t.equal(held.size, 0);
  t.strictSame(calls, [
    'add c1 ptp',
    'publish c1 10.244.0.2 8080',
    'publish c1  ',
    'del c1 /run/netns/x',
  ]);
  t.strictSame(await readdir(`${stateDir}/attachments`), []);
});

t.test('pod-network: an ADD that fails is taken back at once', async (t) => {
  const { open, held, fault, stateDir } = world(t);
  const network = open();
  fault.add = new SkeinError('network-failed', 'no more addresses');
  await t.rejects(network.attach(target('c1'), signal), { message: 'no more addresses' });
  t.equal(held.size, 0, 'nothing leaks');
  t.strictSame(await readdir(`${stateDir}/attachments`), []);
  fault.add = undefined;
  t.strictSame(await network.attach(target('c1'), signal), { ips: ['10.244.0.3'] });
});

t.test(
  'pod-network: an ADD that was cut short by a crash is taken back before the next',
  async (t) => {
    const { open, calls, fault } = world(t);
    fault.add = new Error('killed');
    fault.del = new Error('killed too');
    await t.rejects(open().attach(target('c1'), signal));
    fault.add = undefined;
    fault.del = undefined;
    t.strictSame(await open().attach(target('c1'), signal), { ips: ['10.244.0.3'] });
    t.strictSame(calls, ['add c1 ptp', 'del c1 /run/netns/x', 'del c1 /run/netns/x', 'add c1 ptp']);
  },
);

t.test('pod-network: a release that fails is tried again', async (t) => {
  const { open, held, fault } = world(t);
  const network = open();
  await network.attach(target('c1'), signal);
  fault.del = new Error('busy');
  await t.rejects(network.detach(target('c1'), signal), { message: 'busy' });
  t.equal(held.size, 1);
  fault.del = undefined;
  await network.detach(target('c1'), signal);
  t.equal(held.size, 0);
});

t.test('pod-network: a new process publishes the host ports of pods that run', async (t) => {
  const { open, calls } = world(t);
  await open().attach(target('c1', { hostPorts: [PORT] }), signal);
  await open().attach(target('c2'), signal);
  calls.length = 0;
  await open().restore();
  t.strictSame(calls, ['publish c1 10.244.0.2 8080']);
});

t.test('pod-network: what belongs to no living container is released', async (t) => {
  const { open, held, fault } = world(t);
  const network = open();
  for (const id of ['c1', 'c2', 'c3']) await network.attach(target(id), signal);
  await network.collect(new Set(['c2']), signal);
  t.strictSame([...held.keys()], ['c2']);
  fault.del = new Error('busy');
  await t.rejects(network.collect(new Set(), signal), { message: 'busy' });
});

t.test('pod-network: limits of bandwidth are one more plugin', async (t) => {
  const { open, calls } = world(t);
  await open().attach(target('c1', { bandwidth: { ingressBits: 1000 } }), signal);
  t.strictSame(calls, ['add c1 ptp,bandwidth']);
});

t.test('pod-network: a result without an address is a failure that leaves nothing', async (t) => {
  const { held } = world(t);
  const network = createPodNetwork({
    cni: { add: async () => ({}), del: async () => {} },
    config: async () => CONFIG,
    publish: async () => {},
    stateDir: t.testdir(),
    log: silentLogger,
  });
  await t.rejects(network.attach(target('c1'), signal), {
    code: 'network-failed',
    message: /"net" gave the pod no address/,
  });
  t.equal(held.size, 0);
});

t.test('pod-network: one unreadable file keeps no node down', async (t) => {
  const { open, calls, stateDir } = world(t);
  await mkdir(`${stateDir}/attachments`, { recursive: true });
  await writeFile(`${stateDir}/attachments/c1.json`, '{"ips":');
  const network = open();
  await network.restore();
  await network.attach(target('c2', { hostPorts: [PORT] }), signal);
  t.strictSame(calls.slice(-1), ['publish c2 10.244.0.2 8080']);
  const { mode } = await stat(`${stateDir}/attachments/c2.json`);
  t.equal(mode & 0o777, 0o600);
});

t.test('pod-network: a pod whose sandbox is made anew has its address again', async (t) => {
  const { open, calls } = world(t);
  const podUid = 'u1';
  await open().attach(target('c1', { podUid }), signal);
  await open().attach(target('c2'), signal);
  // The machine rebooted: what was is taken down, and made again.
  const network = open();
  await network.detach(target('c1', { podUid, netnsPath: '' }), signal);
  t.strictSame(await network.attach(target('c3', { podUid }), signal), { ips: ['10.244.0.2'] });
  t.equal(calls.at(-1), 'add c3 ptp asking 10.244.0.2');
});

t.test('pod-network: a former address that is taken is no reason to fail', async (t) => {
  const { open, held } = world(t);
  const podUid = 'u1';
  const network = open();
  await network.attach(target('c1', { podUid }), signal);
  t.strictSame(await network.attach(target('c2', { podUid }), signal), { ips: ['10.244.0.3'] });
  t.strictSame([...held.keys()], ['c1', 'c2']);
});

t.test('address-book: the latest pods are remembered, the oldest forgotten', async (t) => {
  const path = `${t.testdir()}/state/addresses.json`;
  const book = new AddressBook(path);
  t.equal(await book.of('u0'), undefined);
  await Promise.all(
    Array.from({ length: 300 }, (_, pod) => book.remember(`u${pod}`, `10.0.${pod % 250}.1`)),
  );
  const again = new AddressBook(path);
  t.equal(await again.of('u299'), '10.0.49.1');
  t.equal(await again.of('u43'), undefined);
  t.equal(await again.of('u44'), '10.0.44.1');
  await writeFile(path, '{"u1": 7, ');
  t.equal(await new AddressBook(path).of('u1'), undefined, 'a damaged book is an empty one');
});
