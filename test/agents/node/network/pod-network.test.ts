import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
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
  podUid: 'u',
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
        async add(config, { containerId }) {
          calls.push(`add ${containerId} ${config.plugins.map(({ type }) => type).join(',')}`);
          if (held.has(containerId)) throw new SkeinError('network-failed', 'duplicate allocation');
          held.set(containerId, `10.244.0.${next++}`);
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
