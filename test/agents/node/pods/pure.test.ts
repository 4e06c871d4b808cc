/** Tables for the small pure parts: expansion, environment, probes, files under /etc, images, QoS. */

import t from 'tap';
import { buildEnv } from '../../../../agents/node/pods/env.ts';
import { hostsFile, resolvConf } from '../../../../agents/node/pods/etc-files.ts';
import { expand } from '../../../../agents/node/pods/expand.ts';
import { fieldValue, resourceFieldValue } from '../../../../agents/node/pods/fields.ts';
import { defaultPolicy, registryAuth, registryOf } from '../../../../agents/node/pods/images.ts';
import type { Container, Pod, Service } from '../../../../agents/node/pods/kinds.ts';
import { countResult, FRESH } from '../../../../agents/node/pods/probes/thresholds.ts';
import { oomScoreAdj, qosClassOf } from '../../../../agents/node/pods/qos.ts';
import { containerRequest, hostPortsOf } from '../../../../agents/node/pods/requests.ts';
import { goDuration } from '../../../../agents/node/pods/restart-backoff.ts';
import { isRegistryUnreachable } from '../../../../agents/node/pods/runtime/docker-errors.ts';
import { podRefusal, rootRefusal } from '../../../../agents/node/pods/security.ts';
import { serviceEnv } from '../../../../agents/node/pods/service-env.ts';
import { pod } from './support/records.ts';

const noObjects = { configMap: () => undefined, secret: () => undefined, services: () => [] };
const context = (of: Pod) => ({
  pod: of,
  nodeName: 'node-a',
  podIPs: ['10.0.0.9'],
  hostIPs: ['192.0.2.1'],
  allocatable: { cpuMilli: 2_000, memoryBytes: 4 * 1024 ** 3 },
});

t.test('expand: references, escapes and what is left as it is', async (t) => {
  const values: Record<string, string> = { A: '1', B: 'two' };
  const lookup = (name: string) => values[name];
  for (const [text, expected] of [
    ['$(A)-$(B)', '1-two'],
    ['$(UNKNOWN)', '$(UNKNOWN)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$(A', '$(A'],
    ['a$', 'a$'],
    ['$A', '$A'],
    ['', ''],
  ] as const) {
    t.equal(expand(text, lookup), expected, text);
  }
});

t.test('env: later variables see earlier ones, and win over those of Services', async (t) => {
  const service: Service = {
    metadata: { name: 'web', namespace: 'default' },
    spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
  };
  const spec: Container = {
    name: 'main',
    env: [
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)b $(WEB_SERVICE_HOST)' },
      { name: 'WEB_SERVICE_PORT', value: 'mine' },
    ],
  };
  const result = buildEnv(context(pod()), spec, { ...noObjects, services: () => [service] });
  t.equal(result.kind, 'built');
  if (result.kind !== 'built') return;
  t.equal(result.env.get('B'), 'ab 10.96.0.1');
  t.equal(result.env.get('WEB_SERVICE_PORT'), 'mine');
  t.equal(result.env.get('WEB_PORT_80_TCP_ADDR'), '10.96.0.1');
});

t.test('env: what is missing is named as upstream names it, unless optional', async (t) => {
  const build = (variable: NonNullable<Container['env']>[number]) =>
    buildEnv(
      context(pod()),
      { name: 'main', env: [variable] },
      {
        ...noObjects,
        configMap: (_, name) =>
          name === 'there' ? { metadata: { name, namespace: 'default' }, data: {} } : undefined,
      },
    );
  const from = (name: string, optional?: boolean) => ({
    name: 'V',
    valueFrom: { configMapKeyRef: { name, key: 'k', optional } },
  });
  t.match(build(from('absent')), { kind: 'missing', message: 'configmap "absent" not found' });
  t.match(build(from('there')), {
    kind: 'missing',
    message: "couldn't find key k in ConfigMap default/there",
  });
  t.match(build(from('absent', true)), { kind: 'built' });
});

t.test('service env: names, ports and links, headless left out', async (t) => {
  const services: Service[] = [
    {
      metadata: { name: 'redis-master', namespace: 'default' },
      spec: {
        clusterIP: '10.0.0.11',
        ports: [
          { name: 'main', port: 6379, protocol: 'TCP' },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      },
    },
    { metadata: { name: 'headless', namespace: 'default' }, spec: { clusterIP: 'None' } },
    {
      metadata: { name: 'elsewhere', namespace: 'other' },
      spec: { clusterIP: '10.0.0.12', ports: [{ port: 1 }] },
    },
  ];
  t.same(Object.fromEntries(serviceEnv(services, 'default', true)), {
    REDIS_MASTER_SERVICE_HOST: '10.0.0.11',
    REDIS_MASTER_SERVICE_PORT: '6379',
    REDIS_MASTER_SERVICE_PORT_MAIN: '6379',
    REDIS_MASTER_SERVICE_PORT_DNS: '53',
    REDIS_MASTER_PORT: 'tcp://10.0.0.11:6379',
    REDIS_MASTER_PORT_6379_TCP: 'tcp://10.0.0.11:6379',
    REDIS_MASTER_PORT_6379_TCP_PROTO: 'tcp',
    REDIS_MASTER_PORT_6379_TCP_PORT: '6379',
    REDIS_MASTER_PORT_6379_TCP_ADDR: '10.0.0.11',
    REDIS_MASTER_PORT_53_UDP: 'udp://10.0.0.11:53',
    REDIS_MASTER_PORT_53_UDP_PROTO: 'udp',
    REDIS_MASTER_PORT_53_UDP_PORT: '53',
    REDIS_MASTER_PORT_53_UDP_ADDR: '10.0.0.11',
  });
  t.equal(serviceEnv(services, 'default', false).size, 0);
});

t.test('fields: values of the pod, and limits that fall back to the node', async (t) => {
  const of = pod({ serviceAccountName: 'sa' }, { labels: { b: '2', a: 'x"y' } });
  const field = (fieldPath: string) => fieldValue(context(of), { fieldPath });
  t.equal(field('metadata.uid'), 'uid-1');
  t.equal(field("metadata.labels['b']"), '2');
  t.equal(field('metadata.labels'), 'a="x\\"y"\nb="2"');
  t.equal(field('status.hostIP'), '192.0.2.1');
  t.equal(field('spec.unknown'), undefined);
  const limited = { name: 'main', resources: { limits: { cpu: '1500m', memory: '64Mi' } } };
  const resource = (resource: string, divisor?: string, spec: Container = limited) =>
    resourceFieldValue(context(of), { resource, divisor }, spec);
  t.equal(resource('limits.cpu'), '2');
  t.equal(resource('limits.cpu', '1m'), '1500');
  t.equal(resource('limits.memory', '1Mi'), '64');
  t.equal(resource('requests.memory'), '67108864');
  t.equal(resource('limits.cpu', undefined, { name: 'main' }), '2');
  t.equal(resource('requests.cpu', undefined, { name: 'main' }), '0');
});

t.test('probes: thresholds count results in a row', async (t) => {
  const probe = { failureThreshold: 2, successThreshold: 2 };
  let state = FRESH;
  const verdicts = (
    ['failure', 'failure', 'success', 'failure', 'success', 'success'] as const
  ).map((result) => {
    const counted = countResult(state, result, probe);
    state = counted.state;
    return counted.verdict;
  });
  t.same(verdicts, [undefined, 'failure', undefined, undefined, undefined, 'success']);
});

t.test('etc: the hosts file names the pod, its subdomain and its aliases', async (t) => {
  const of = pod({ subdomain: 'sub', hostAliases: [{ ip: '10.1.1.1', hostnames: ['a', 'b'] }] });
  const text = hostsFile(of, ['10.0.0.9'], 'cluster.local');
  t.match(text, '10.0.0.9\tweb.sub.default.svc.cluster.local\tweb\n');
  t.match(text, '10.1.1.1\ta\tb\n');
});

t.test(
  'etc: resolv.conf follows the policy, and the node while there is no cluster DNS',
  async (t) => {
    const node = 'nameserver 192.0.2.53\nsearch example\noptions timeout:1\n';
    const cluster = { servers: ['10.96.0.10'] };
    t.equal(resolvConf(pod(), node, undefined), node);
    t.equal(resolvConf(pod({ dnsPolicy: 'Default' }), node, cluster), node);
    t.equal(
      resolvConf(pod(), node, cluster),
      'nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local example\noptions ndots:5\n',
    );
    t.equal(resolvConf(pod({ hostNetwork: true }), node, cluster), node);
    const own = { nameservers: ['10.9.9.9'], options: [{ name: 'ndots', value: '2' }] };
    t.equal(
      resolvConf(pod({ dnsPolicy: 'None', dnsConfig: own }), node, cluster),
      'nameserver 10.9.9.9\noptions ndots:2\n',
    );
  },
);

t.test('images: the default policy is Always for latest and for no tag', async (t) => {
  t.equal(defaultPolicy('redis'), 'Always');
  t.equal(defaultPolicy('redis:latest'), 'Always');
  t.equal(defaultPolicy('redis:7'), 'IfNotPresent');
  t.equal(defaultPolicy('host.example:5000/redis'), 'Always');
  t.equal(defaultPolicy('redis@sha256:00'), 'IfNotPresent');
});

t.test('images: the registry is the part that names a host', async (t) => {
  t.equal(registryOf('redis'), '');
  t.equal(registryOf('library/redis'), '');
  t.equal(registryOf('host.example/redis'), 'host.example');
  t.equal(registryOf('localhost:5000/redis'), 'localhost:5000');
});

t.test('images: credentials come from the pull secret that names the registry', async (t) => {
  const config = {
    auths: { 'https://host.example/v1': { auth: Buffer.from('me:pw').toString('base64') } },
  };
  const text = Buffer.from(JSON.stringify(config)).toString('base64');
  const objects = {
    ...noObjects,
    secret: () => ({
      metadata: { name: 'pull', namespace: 'default' },
      data: { '.dockerconfigjson': text },
    }),
  };
  const of = pod({ imagePullSecrets: [{ name: 'pull' }] });
  t.match(registryAuth(of, 'host.example/app:1', objects), { username: 'me', password: 'pw' });
  t.equal(registryAuth(of, 'other.example/app:1', objects), undefined);
});

t.test('images: a registry out of reach is told from one that refuses', async (t) => {
  t.ok(isRegistryUnreachable('Get "https://r/v2/": dial tcp: lookup r: no such host'));
  t.ok(
    isRegistryUnreachable(
      'net/http: request canceled (Client.Timeout exceeded while awaiting headers)',
    ),
  );
  t.notOk(isRegistryUnreachable('pull access denied for x, repository does not exist'));
  t.notOk(isRegistryUnreachable('manifest for x:1 not found: manifest unknown'));
});

t.test('qos: class and out-of-memory score follow requests and limits', async (t) => {
  const of = (resources: Container['resources']) =>
    pod({ containers: [{ name: 'main', image: 'app:1', resources }] });
  const equal = { cpu: '1', memory: '1Gi' };
  const guaranteed = of({ requests: equal, limits: equal });
  const burstable = of({ requests: { memory: '1Gi' } });
  t.equal(qosClassOf(guaranteed), 'Guaranteed');
  t.equal(qosClassOf(burstable), 'Burstable');
  t.equal(qosClassOf(of(undefined)), 'BestEffort');
  const score = (one: Pod) => oomScoreAdj(one, one.spec.containers[0] as Container, 4 * 1024 ** 3);
  t.equal(score(guaranteed), 0);
  t.equal(score(burstable), 750);
  t.equal(score(of(undefined)), 1000);
});

t.test('security: non-root is checked against the spec and the image', async (t) => {
  const spec = { name: 'main', securityContext: { runAsNonRoot: true } };
  t.match(rootRefusal(pod(), spec, ''), 'image will run as root');
  t.match(rootRefusal(pod(), spec, 'www-data'), 'image has non-numeric user (www-data)');
  t.equal(rootRefusal(pod(), spec, '1000'), undefined);
  const zero = { name: 'main', securityContext: { runAsNonRoot: true, runAsUser: 0 } };
  t.match(rootRefusal(pod(), zero, '1000'), "container's runAsUser breaks non-root policy");
});

t.test('security: sysctls that could harm others are refused', async (t) => {
  const of = (name: string) => pod({ securityContext: { sysctls: [{ name, value: '1' }] } });
  t.equal(podRefusal(of('kernel.shm_rmid_forced')), undefined);
  t.match(podRefusal(of('kernel.msgmax')), { reason: 'SysctlForbidden' });
});

t.test(
  'requests: a container is asked for with expanded words and bounded resources',
  async (t) => {
    const spec: Container = {
      name: 'main',
      image: 'app:1',
      command: ['run', '$(WHO)'],
      resources: { requests: { cpu: '250m' }, limits: { cpu: '500m', memory: '64Mi' } },
    };
    const request = containerRequest(pod({ containers: [spec] }), spec, {
      settings: { nodeName: 'node-a', memoryBytes: 1024 ** 3 },
      sandboxId: 'box',
      restartCount: 2,
      env: new Map([['WHO', 'me']]),
      mounts: [],
      imageUser: '',
    });
    t.match(request, {
      name: 'skein_main_web_default_uid-1_2',
      command: ['run', 'me'],
      env: ['WHO=me'],
      network: 'sandbox',
      resources: { cpuShares: 256, cpuQuotaUs: 50_000, memoryBytes: 67_108_864 },
    });
    t.equal(request.labels['io.kubernetes.container.restartCount'], '2');
  },
);

t.test('requests: host ports are published, not for pods on the host network', async (t) => {
  const ports = [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }];
  const containers = [{ name: 'main', image: 'app:1', ports }];
  t.same(hostPortsOf(pod({ containers })), [
    { containerPort: 80, hostPort: 8080, protocol: 'TCP' },
  ]);
  t.same(hostPortsOf(pod({ containers, hostNetwork: true })), []);
});

t.test('durations: as Go prints them', async (t) => {
  t.equal(goDuration(10_000), '10s');
  t.equal(goDuration(80_000), '1m20s');
  t.equal(goDuration(300_000), '5m0s');
  t.equal(goDuration(200), '200ms');
});
