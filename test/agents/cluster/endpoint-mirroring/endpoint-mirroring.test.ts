import t from 'tap';
import { service } from '../objects.ts';
import { TestCluster } from '../support.ts';

const KEY = { namespace: 'default', name: 'web' };

t.test('endpoint mirroring: follows hand-made Endpoints from birth to end', async (t) => {
  const cluster = await TestCluster.start();
  t.teardown(() => cluster.stop());
  await cluster.lead('endpoint-mirroring', 'endpoints', 'endpoint-slices', 'garbage-collector');
  const { selector: _none, ...spec } = service('web', 'web').spec;
  await cluster.client.create('Service', { ...service('web', 'web'), spec });
  const ports = [{ name: 'http', port: 8080, protocol: 'TCP' }];
  const subsets = [
    { addresses: [{ ip: '192.0.2.1' }], notReadyAddresses: [{ ip: '192.0.2.2' }], ports },
  ];
  await cluster.client.create('Endpoints', { metadata: KEY, subsets });
  await cluster.until('mirrored', () => cluster.list('EndpointSlice').length === 1, 100);
  t.match(cluster.list('EndpointSlice')[0], {
    addressType: 'IPv4',
    metadata: { labels: { 'kubernetes.io/service-name': 'web' } },
    endpoints: [
      { addresses: ['192.0.2.1'], conditions: { ready: true } },
      { addresses: ['192.0.2.2'], conditions: { ready: false } },
    ],
    ports: [{ name: 'http', port: 8080 }],
  });
  const changed = { subsets: [{ addresses: [{ ip: '192.0.2.3' }], ports }] };
  await cluster.client.patch('Endpoints', KEY, { type: 'merge', body: changed });
  await cluster.until('changed', () => {
    return cluster.list('EndpointSlice')[0]?.endpoints?.[0]?.addresses[0] === '192.0.2.3';
  });
  t.equal(cluster.list('EndpointSlice').length, 1);
  await cluster.client.delete('Endpoints', KEY);
  await cluster.until('gone', () => cluster.list('EndpointSlice').length === 0, 100);
  t.equal(cluster.list('Service').length, 1);
});
