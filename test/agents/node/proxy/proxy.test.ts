import t, { type Test } from 'tap';
import { MemoryNftables } from '../../../../agents/node/proxy/memory-nftables.ts';
import { observeTable } from '../../../../agents/node/proxy/observed.ts';
import { createProxy, type ProxyOptions } from '../../../../agents/node/proxy/proxy.ts';
import { VirtualClock } from '../../../../src/lib/clock.ts';
import { hasCode, SkeinError } from '../../../../src/lib/errors.ts';
import { silentLogger } from '../../../../src/lib/logger.ts';
import { seededRandom } from '../../../../src/lib/random.ts';
import type { EndpointSlice, Node, Service } from '../../../../src/resources/generated/kinds.ts';
import { FakeInformers } from '../../../support/fake-informers.ts';

const NODE = { metadata: { name: 'node1' }, spec: {} } as Node;

const service = (name: string, ip: string, protocol = 'TCP'): Service => ({
  metadata: { namespace: 'default', name },
  spec: { clusterIP: ip, clusterIPs: [ip], ports: [{ port: 80, protocol }] },
});

const slice = (name: string, ips: readonly string[], protocol = 'TCP'): EndpointSlice => ({
  metadata: {
    namespace: 'default',
    name: `${name}-1`,
    labels: { 'kubernetes.io/service-name': name },
  },
  addressType: 'IPv4',
  ports: [{ port: 8080, protocol }],
  endpoints: ips.map((ip) => ({ addresses: [ip] })),
});

/** An Nftables that can be told to refuse, and that counts. */
class FaultyNftables extends MemoryNftables {
  refusals = 0;
  refused = 0;

  override async run(script: string): Promise<void> {
    if (this.refusals > 0) {
      this.refusals--;
      this.refused++;
      throw new SkeinError('network-failed', 'nftables refused a transaction: on purpose');
    }
    await super.run(script);
  }
}

function world(t: Test, options: { synced?: boolean } & Partial<ProxyOptions> = {}) {
  const { synced = true, ...proxyOptions } = options;
  const informers = new FakeInformers({ synced });
  const nftables = new FaultyNftables();
  const clock = new VirtualClock();
  const flushed: string[] = [];
  const proxy = createProxy(
    {
      client: informers.client,
      nftables,
      flows: { flushUdp: async ({ ip, port }) => void flushed.push(`${ip}:${port}`) },
      clock,
      log: silentLogger,
      random: seededRandom(1),
    },
    {
      nodeName: 'node1',
      clusterCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/16',
      ...proxyOptions,
    },
  );
  t.teardown(() => proxy.stop());
  /** Lets time pass and what it triggers come to its end. */
  const pass = async (ms: number) => {
    clock.advance(ms);
    await settle();
  };
  const elements = async () =>
    nftables.list('table ip skein').then(
      (listing) => [...observeTable(listing).elements.keys()],
      () => undefined,
    );
  return { informers, nftables, clock, flushed, proxy, pass, elements };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const WEB = 'service_ips 10.96.0.10 . tcp . 80';

t.test(
  'proxy: the first ruleset is whole; later changes are gathered into one transaction',
  async (t) => {
    const { informers, nftables, proxy, pass, elements } = world(t);
    informers.put('Service', service('web', '10.96.0.10'));
    informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
    await proxy.start();
    t.ok((await elements())?.includes(WEB));
    const before = nftables.transactions;
    for (let count = 1; count <= 20; count++) {
      informers.put('Service', service(`s${count}`, `10.96.1.${count}`));
      informers.put('EndpointSlice', slice(`s${count}`, ['10.244.1.3']));
    }
    await pass(5);
    t.equal(nftables.transactions, before + 1);
    t.equal((await elements())?.filter((id) => id.startsWith('service_ips')).length, 21);
    informers.remove(service('web', '10.96.0.10'));
    await pass(5);
    t.notOk((await elements())?.includes(WEB));
  },
);

t.test('proxy: a slice that moves to another service changes both', async (t) => {
  const { informers, proxy, pass, elements } = world(t);
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('Service', service('api', '10.96.0.11'));
  const moving = slice('web', ['10.244.1.2']);
  informers.put('EndpointSlice', moving);
  await proxy.start();
  const { metadata } = moving;
  const labels = { 'kubernetes.io/service-name': 'api' };
  informers.put('EndpointSlice', { ...moving, metadata: { ...metadata, labels } });
  await pass(5);
  const found = (await elements())?.filter((id) => id.startsWith('service_ips'));
  t.strictSame(found, ['service_ips 10.96.0.11 . tcp . 80']);
});

t.test('proxy: until the view is complete, the rules of an earlier process go on', async (t) => {
  const { informers, nftables, proxy, pass, elements } = world(t, { synced: false });
  await nftables.run('add table ip skein\nadd chain ip skein earlier');
  const started = proxy.start();
  await pass(2999);
  const { chains } = observeTable(await nftables.list('table ip skein'));
  t.strictSame([...chains.keys()], ['earlier']);
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
  informers.sync();
  await started;
  t.ok((await elements())?.includes(WEB));
});

t.test('proxy: a node that is cut off serves by what it knew', async (t) => {
  const { informers, proxy, pass, elements } = world(t, { synced: false });
  informers.put('Node', NODE);
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
  void proxy.start();
  await proxy.setHostPorts('c1', '10.244.1.9', [
    { protocol: 'TCP', hostPort: 8080, containerPort: 80 },
  ]);
  await pass(3000);
  t.ok((await elements())?.includes(WEB), 'services');
  t.ok((await elements())?.includes('host_ports_any tcp . 8080'), 'host ports');
  informers.put('Service', service('api', '10.96.0.11'));
  informers.put('EndpointSlice', slice('api', ['10.244.1.3']));
  informers.sync();
  await pass(5);
  t.ok(
    (await elements())?.includes('service_ips 10.96.0.11 . tcp . 80'),
    'and goes on when healed',
  );
});

t.test('proxy: a machine that never knew the cluster makes no rules of nothing', async (t) => {
  const { informers, proxy, pass, elements } = world(t, { synced: false });
  const started = proxy.start();
  await pass(60_000);
  t.equal(await elements(), undefined);
  informers.sync();
  await started;
  t.ok(await elements());
});

t.test('proxy: stopped before the cluster was found, it ends quietly', async (t) => {
  const { proxy, pass, elements } = world(t, { synced: false });
  const ended = proxy.start().then(
    () => 'started',
    (error: unknown) => (hasCode(error, 'aborted') ? 'aborted' : error),
  );
  await pass(3000);
  proxy.stop();
  t.equal(await ended, 'aborted');
  t.equal(await elements(), undefined);
});

t.test('proxy: a refused transaction is followed by a rebuild, later and later', async (t) => {
  const { informers, nftables, proxy, pass, elements } = world(t);
  await proxy.start();
  nftables.refusals = 3;
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
  await pass(5);
  t.equal(nftables.refused, 1);
  await pass(1000);
  t.equal(nftables.refused, 2);
  await pass(1000);
  t.equal(nftables.refused, 2, 'the second wait is longer');
  await pass(60_000);
  t.equal(nftables.refused, 3);
  t.ok((await elements())?.includes(WEB), 'nothing that was refused is lost');
});

t.test('proxy: whatever others do to the table is put right', async (t) => {
  const { informers, nftables, proxy, pass } = world(t);
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('EndpointSlice', slice('web', ['10.244.1.2', '10.244.1.3']));
  await proxy.start();
  const good = JSON.stringify(nftables.dump());
  const deeds = [
    'delete table ip skein',
    'flush chain ip skein prerouting',
    'flush chain ip skein svc-default/web/tcp/80',
    'delete element ip skein service_ips { 10.96.0.10 . tcp . 80 }',
    'delete element ip skein hairpin { 10.244.1.2 . 10.244.1.2 }',
    'add element ip skein service_ips { 10.96.0.99 . tcp . 80 : goto svc-default/web/tcp/80 }',
    'add chain ip skein stranger',
    'add rule ip skein services accept',
  ];
  for (const deed of deeds) {
    await nftables.run(deed);
    await pass(30_000);
    t.equal(JSON.stringify(nftables.dump()), good, deed);
  }
  const before = nftables.transactions;
  await pass(30_000);
  t.equal(nftables.transactions, before, 'what is right is left alone');
});

t.test(
  'proxy: flows of UDP backends that left are flushed, after the rules are in place',
  async (t) => {
    const { informers, nftables, flushed, proxy, pass } = world(t);
    informers.put('Service', service('dns', '10.96.0.10', 'UDP'));
    informers.put('EndpointSlice', slice('dns', ['10.244.1.2', '10.244.1.3'], 'UDP'));
    informers.put('Service', service('web', '10.96.0.11'));
    informers.put('EndpointSlice', slice('web', ['10.244.1.2', '10.244.1.4']));
    await proxy.start();
    informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
    await pass(5);
    t.strictSame(flushed, [], 'TCP ends by itself');
    nftables.refusals = 1;
    informers.put('EndpointSlice', slice('dns', ['10.244.1.2'], 'UDP'));
    await pass(5);
    t.strictSame(flushed, [], 'not while the old rules hold');
    await pass(60_000);
    t.strictSame(flushed, ['10.244.1.3:8080'], 'and not forgotten');
    informers.remove(service('dns', '10.96.0.10', 'UDP'));
    await pass(5);
    t.strictSame(flushed, ['10.244.1.3:8080', '10.244.1.2:8080']);
  },
);

t.test('proxy: rules stay when it stops', async (t) => {
  const { informers, proxy, pass, elements } = world(t);
  informers.put('Service', service('web', '10.96.0.10'));
  informers.put('EndpointSlice', slice('web', ['10.244.1.2']));
  await proxy.start();
  proxy.stop();
  informers.remove(service('web', '10.96.0.10'));
  await pass(60_000);
  t.ok((await elements())?.includes(WEB));
});
