import t from 'tap';
import type { EndpointSlice, Service } from '../../../../src/resources/generated/kinds.ts';
import { TwoHosts } from '../../../support/two-hosts.ts';

type Port = { readonly port: number; readonly nodePort?: number; readonly protocol?: string };

function service(name: string, clusterIP: string, port: Port, more: object = {}): Service {
  return {
    metadata: { namespace: 'default', name },
    spec: {
      type: port.nodePort ? 'NodePort' : 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ protocol: 'TCP', ...port }],
      ...more,
    },
  };
}

type Place = { readonly ip: string; readonly node: string; readonly conditions?: object };

function slice(name: string, places: readonly Place[], protocol = 'TCP'): EndpointSlice {
  return {
    metadata: {
      namespace: 'default',
      name: `${name}-1`,
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: 'IPv4',
    ports: [{ port: 8080, protocol }],
    endpoints: places.map(({ ip, node, conditions }) => ({
      addresses: [ip],
      nodeName: node,
      conditions: { ready: true, ...conditions },
    })),
  };
}

/** Two hosts with a server pod each (one on a, two on b) and the proxy running on a. */
async function cluster(): Promise<{ hosts: TwoHosts; one: string; two: string }> {
  const hosts = new TwoHosts();
  await hosts.start();
  const one = await hosts.addPod('a', 'one');
  const two = await hosts.addPod('b', 'two');
  await hosts.serve('one', 8080);
  await hosts.serve('two', 8080);
  await hosts.act('a', { do: 'proxy', nodeName: 'a', verifyMs: 200 });
  return { hosts, one, two };
}

const IP = '10.96.0.10';

t.test(
  'proxy: a service spreads over its backends, seen from a pod and from the node',
  async (t) => {
    const { hosts, one, two } = await cluster();
    t.teardown(() => hosts.end());
    await hosts.act('a', {
      do: 'cluster',
      services: [service('web', IP, { port: 80 })],
      slices: [
        slice('web', [
          { ip: one, node: 'a' },
          { ip: two, node: 'b' },
        ]),
      ],
    });
    await hosts.addPod('a', 'client');
    for (const from of ['client', 'a', 'one']) {
      const answers = new Set<string>();
      for (let call = 0; call < 24; call++) answers.add(await hosts.ask(from, IP, 80));
      t.strictSame([...answers].sort(), ['one', 'two'], `from ${from} (hairpin included)`);
    }
  },
);

t.test(
  'proxy: a service without ready backends refuses at once; so does an unknown port',
  async (t) => {
    const { hosts, one } = await cluster();
    t.teardown(() => hosts.end());
    await hosts.addPod('a', 'client');
    const web = service('web', IP, { port: 80 });
    const ready = slice('web', [{ ip: one, node: 'a' }]);
    await hosts.act('a', { do: 'cluster', services: [web], slices: [ready] });
    t.equal(await hosts.ask('client', IP, 80), 'one');
    for (const from of ['client', 'a']) {
      await t.rejects(hosts.ask(from, IP, 81), /refused/i, `unknown port, from ${from}`);
    }
    const gone = slice('web', [{ ip: one, node: 'a', conditions: { ready: false } }]);
    await hosts.act('a', { do: 'cluster', slices: [gone] });
    for (const from of ['client', 'a']) {
      await t.rejects(hosts.ask(from, IP, 80), /refused/i, `no backend, from ${from}`);
    }
  },
);

t.test('proxy: terminating backends serve while there is no ready one', async (t) => {
  const { hosts, one, two } = await cluster();
  t.teardown(() => hosts.end());
  const leaving = { ready: false, serving: true, terminating: true };
  const web = service('web', IP, { port: 80 });
  const last = slice('web', [{ ip: one, node: 'a', conditions: leaving }]);
  await hosts.act('a', { do: 'cluster', services: [web], slices: [last] });
  t.equal(await hosts.ask('a', IP, 80), 'one');
  const both = slice('web', [
    { ip: one, node: 'a', conditions: leaving },
    { ip: two, node: 'b' },
  ]);
  await hosts.act('a', { do: 'cluster', slices: [both] });
  for (let call = 0; call < 8; call++) t.equal(await hosts.ask('a', IP, 80), 'two');
});

t.test(
  'proxy: a node port answers on every address of the node, for backends anywhere',
  async (t) => {
    const { hosts, two } = await cluster();
    t.teardown(() => hosts.end());
    await hosts.act('a', {
      do: 'cluster',
      services: [service('web', IP, { port: 80, nodePort: 30080 })],
      slices: [slice('web', [{ ip: two, node: 'b' }])],
    });
    await hosts.addPod('a', 'client');
    t.equal(await hosts.ask('b', '10.78.0.1', 30080), 'two', 'from another host');
    t.equal(await hosts.ask('a', '10.78.0.1', 30080), 'two', 'from the node itself');
    t.equal(await hosts.ask('client', '10.78.0.1', 30080), 'two', 'from a pod');
  },
);

t.test('proxy: a client with affinity stays with its backend until it leaves', async (t) => {
  const { hosts, one, two } = await cluster();
  t.teardown(() => hosts.end());
  const sticky = service('web', IP, { port: 80 }, { sessionAffinity: 'ClientIP' });
  const places = [
    { ip: one, node: 'a', label: 'one' },
    { ip: two, node: 'b', label: 'two' },
  ];
  await hosts.act('a', { do: 'cluster', services: [sticky], slices: [slice('web', places)] });
  await hosts.addPod('a', 'client');
  const first = await hosts.ask('client', IP, 80);
  for (let call = 0; call < 12; call++) t.equal(await hosts.ask('client', IP, 80), first);
  const others = places.filter(({ label }) => label !== first);
  await hosts.act('a', { do: 'cluster', slices: [slice('web', others)] });
  t.equal(await hosts.ask('client', IP, 80), others[0]?.label);
});

t.test('proxy: host ports lead to the pod, and end with it', async (t) => {
  const { hosts } = await cluster();
  t.teardown(() => hosts.end());
  await hosts.addPod('a', 'exposed', [{ protocol: 'TCP', hostPort: 8088, containerPort: 8080 }]);
  await hosts.serve('exposed', 8080);
  t.equal(await hosts.ask('b', '10.78.0.1', 8088), 'exposed');
  await hosts.act('a', {
    do: 'detach',
    containerId: 'container-exposed',
    netnsPath: hosts.namespaces.path('exposed'),
    hostPorts: [],
  });
  await t.rejects(hosts.ask('b', '10.78.0.1', 8088), /refused/i);
});

t.test('proxy: an open connection survives changes of its service and a rebuild', async (t) => {
  const { hosts, one, two } = await cluster();
  t.teardown(() => hosts.end());
  const web = service('web', IP, { port: 80 });
  const both = [
    { ip: one, node: 'a' },
    { ip: two, node: 'b' },
  ];
  hosts.namespaces.start('one', ['busybox', 'nc', '-ll', '-p', '9000', '-e', '/bin/cat']);
  const echo = service('echo', '10.96.0.11', { port: 9000 });
  const echoSlice = slice('echo', [{ ip: one, node: 'a' }]);
  const ports = [{ port: 9000, protocol: 'TCP' }];
  await hosts.act('a', {
    do: 'cluster',
    services: [web, echo],
    slices: [slice('web', both), { ...echoSlice, ports }],
  });
  await hosts.addPod('a', 'client');
  const connection = hosts.namespaces.start('client', ['busybox', 'nc', '10.96.0.11', '9000']);
  const heard: string[] = [];
  connection.stdout?.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
  const echoed = async (word: string) => {
    connection.stdin?.write(`${word}\n`);
    const deadline = performance.now() + 3000;
    while (!heard.join('').includes(word) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    t.match(heard.join(''), word);
  };
  await echoed('before');
  await hosts.act('a', { do: 'cluster', slices: [{ ...echoSlice, ports, endpoints: [] }] });
  await echoed('without-backend');
  await hosts.namespaces.run('a', ['nft', 'delete', 'table', 'ip', 'skein']);
  await echoed('without-table');
});

t.test('proxy: a table that others flushed is rebuilt by itself', async (t) => {
  const { hosts, one } = await cluster();
  t.teardown(() => hosts.end());
  const web = service('web', IP, { port: 80 });
  await hosts.act('a', {
    do: 'cluster',
    services: [web],
    slices: [slice('web', [{ ip: one, node: 'a' }])],
  });
  await hosts.namespaces.run('a', ['nft', 'flush', 'ruleset']);
  const deadline = performance.now() + 5000;
  let answer = '';
  while (answer === '' && performance.now() < deadline) {
    answer = await hosts.ask('a', IP, 80).catch(() => '');
  }
  t.equal(answer, 'one');
});

t.test('proxy: a UDP client follows when its backend leaves', async (t) => {
  const { hosts, one, two } = await cluster();
  t.teardown(() => hosts.end());
  const answer = (label: string) =>
    `require('node:dgram').createSocket('udp4').on('message',function(m,r){this.send('${label}',r.port,r.address)}).bind(8080)`;
  for (const label of ['one', 'two']) {
    hosts.namespaces.start(label, [process.execPath, '-e', answer(label)]);
  }
  const dns = service('dns', IP, { port: 53, protocol: 'UDP' });
  await hosts.act('a', {
    do: 'cluster',
    services: [dns],
    slices: [slice('dns', [{ ip: one, node: 'a' }], 'UDP')],
  });
  await hosts.addPod('a', 'client');
  // One socket for all questions: the kernel tracks it as one flow.
  const ask = `const s=require('node:dgram').createSocket('udp4').on('message',(m)=>console.log(String(m)));s.bind(5000);setInterval(()=>s.send('?',53,'${IP}'),20)`;
  const client = hosts.namespaces.start('client', [process.execPath, '-e', ask]);
  const heard: string[] = [];
  client.stdout?.on('data', (chunk: Buffer) => heard.push(...chunk.toString().trim().split('\n')));
  const until = async (label: string) => {
    const deadline = performance.now() + 5000;
    while (heard.at(-1) !== label && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    t.equal(heard.at(-1), label);
  };
  await until('one');
  await hosts.act('a', { do: 'cluster', slices: [slice('dns', [{ ip: two, node: 'b' }], 'UDP')] });
  await until('two');
});
