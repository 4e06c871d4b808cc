import t from 'tap';
import {
  baseScript,
  type Fragment,
  hostPortFragment,
  serviceFragment,
} from '../../../../agents/node/proxy/ruleset.ts';
import type { ServicePortModel } from '../../../../agents/node/proxy/service-model.ts';
import { Ruleset, renderCommands } from '../../../../agents/node/proxy/transaction.ts';

const ONE = { ip: '10.244.1.2', port: 8080, local: true };
const TWO = { ip: '10.244.2.2', port: 8080, local: false };
const MODEL: ServicePortModel = {
  id: 'default/web/tcp/80',
  protocol: 'tcp',
  clusterIps: ['10.96.0.10'],
  externalIps: [],
  port: 80,
  nodePort: undefined,
  affinitySeconds: undefined,
  backends: [ONE, TWO],
  externalBackends: [ONE, TWO],
  externalLocal: false,
};

/** A fragment in nft's words, as a fresh table would get it. */
function text(fragment: Fragment): string {
  const ruleset = new Ruleset();
  ruleset.change(new Map([['owner', fragment]]));
  return renderCommands(ruleset.rebuild());
}
const ofService = (change: Partial<ServicePortModel>) =>
  text(serviceFragment({ ...MODEL, ...change }));

t.test('ruleset: a service is an address that leads to a random backend', async (t) => {
  t.equal(
    ofService({}),
    `add chain ip skein svc-default/web/tcp/80
add rule ip skein svc-default/web/tcp/80 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }
add element ip skein service_ips { 10.96.0.10 . tcp . 80 : goto svc-default/web/tcp/80 }
add element ip skein hairpin { 10.244.1.2 . 10.244.1.2 }
add element ip skein hairpin { 10.244.2.2 . 10.244.2.2 }`,
  );
});

t.test('ruleset: a single backend needs no choice', async (t) => {
  t.match(
    ofService({ backends: [ONE], protocol: 'udp' }),
    'add rule ip skein svc-default/web/tcp/80 meta l4proto udp dnat to 10.244.1.2:8080\n',
  );
});

t.test('ruleset: without a backend a service leaves nothing: the base refuses it', async (t) => {
  t.equal(ofService({ backends: [], externalBackends: [], nodePort: 30080 }), '');
});

t.test(
  'ruleset: traffic from outside hides behind the node and takes the same choice',
  async (t) => {
    t.equal(
      ofService({
        nodePort: 30080,
        externalIps: ['192.0.2.1'],
        backends: [ONE],
        externalBackends: [ONE],
      }),
      `add chain ip skein svc-default/web/tcp/80
add chain ip skein ext-default/web/tcp/80
add rule ip skein svc-default/web/tcp/80 meta l4proto tcp dnat to 10.244.1.2:8080
add rule ip skein ext-default/web/tcp/80 meta mark set meta mark or 0x00004000
add rule ip skein ext-default/web/tcp/80 goto svc-default/web/tcp/80
add element ip skein service_ips { 10.96.0.10 . tcp . 80 : goto svc-default/web/tcp/80 }
add element ip skein service_ips { 192.0.2.1 . tcp . 80 : goto ext-default/web/tcp/80 }
add element ip skein node_ports { tcp . 30080 : goto ext-default/web/tcp/80 }
add element ip skein hairpin { 10.244.1.2 . 10.244.1.2 }`,
    );
  },
);

t.test('ruleset: traffic from outside that stays on this node keeps its source', async (t) => {
  const rules = ofService({ nodePort: 30080, externalBackends: [ONE], externalLocal: true });
  t.match(rules, 'ext-default/web/tcp/80 meta l4proto tcp dnat to 10.244.1.2:8080');
  t.notMatch(rules, 'mark');
});

t.test(
  'ruleset: traffic from outside is served also where there is none from inside',
  async (t) => {
    const rules = ofService({ nodePort: 30080, backends: [], externalBackends: [TWO] });
    t.match(rules, 'add chain ip skein svc-default/web/tcp/80');
    t.match(rules, 'node_ports { tcp . 30080 : goto ext-default/web/tcp/80 }');
    t.notMatch(rules, 'service_ips', 'inside it is refused');
  },
);

t.test('ruleset: affinity remembers clients per backend, for its time', async (t) => {
  t.equal(
    ofService({ affinitySeconds: 60 }),
    `add set ip skein svc-default/web/tcp/80/10.244.1.2/8080/60s { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65535; }
add set ip skein svc-default/web/tcp/80/10.244.2.2/8080/60s { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65535; }
add chain ip skein svc-default/web/tcp/80/10.244.1.2/8080
add chain ip skein svc-default/web/tcp/80/10.244.2.2/8080
add chain ip skein svc-default/web/tcp/80
add rule ip skein svc-default/web/tcp/80/10.244.1.2/8080 update @svc-default/web/tcp/80/10.244.1.2/8080/60s { ip saddr }
add rule ip skein svc-default/web/tcp/80/10.244.1.2/8080 meta l4proto tcp dnat to 10.244.1.2:8080
add rule ip skein svc-default/web/tcp/80/10.244.2.2/8080 update @svc-default/web/tcp/80/10.244.2.2/8080/60s { ip saddr }
add rule ip skein svc-default/web/tcp/80/10.244.2.2/8080 meta l4proto tcp dnat to 10.244.2.2:8080
add rule ip skein svc-default/web/tcp/80 ip saddr @svc-default/web/tcp/80/10.244.1.2/8080/60s goto svc-default/web/tcp/80/10.244.1.2/8080
add rule ip skein svc-default/web/tcp/80 ip saddr @svc-default/web/tcp/80/10.244.2.2/8080/60s goto svc-default/web/tcp/80/10.244.2.2/8080
add rule ip skein svc-default/web/tcp/80 numgen random mod 2 vmap { 0 : goto svc-default/web/tcp/80/10.244.1.2/8080, 1 : goto svc-default/web/tcp/80/10.244.2.2/8080 }
add element ip skein service_ips { 10.96.0.10 . tcp . 80 : goto svc-default/web/tcp/80 }
add element ip skein hairpin { 10.244.1.2 . 10.244.1.2 }
add element ip skein hairpin { 10.244.2.2 . 10.244.2.2 }`,
  );
});

t.test('ruleset: host ports lead to the pod, on one address or on any', async (t) => {
  t.equal(
    text(
      hostPortFragment('10.244.1.3', [
        { protocol: 'TCP', hostPort: 80, containerPort: 8080 },
        { protocol: 'UDP', hostPort: 53, containerPort: 53, hostIP: '10.0.0.1' },
        { protocol: 'TCP', hostPort: 81, containerPort: 81, hostIP: '0.0.0.0' },
        { protocol: 'SCTP', hostPort: 82, containerPort: 82 },
        { protocol: 'TCP', hostPort: 83, containerPort: 83, hostIP: 'fd00::1' },
      ]),
    ),
    `add element ip skein host_ports_any { tcp . 80 : 10.244.1.3 . 8080 }
add element ip skein host_ports { 10.0.0.1 . udp . 53 : 10.244.1.3 . 53 }
add element ip skein host_ports_any { tcp . 81 : 10.244.1.3 . 81 }
add element ip skein hairpin { 10.244.1.3 . 10.244.1.3 }`,
  );
  t.equal(text(hostPortFragment('10.244.1.3', [])), '');
});

t.test('ruleset: long names are cut, and stay different', async (t) => {
  const long = (end: string) => `${'n'.repeat(63)}/${'s'.repeat(63)}/tcp/${end}`;
  const chains = ['http', 'https'].map(
    (end) => serviceFragment({ ...MODEL, id: long(end) }).chains[0]?.name ?? '',
  );
  t.not(chains[0], chains[1]);
  for (const name of chains) t.ok(name.length < 128, `${name.length} characters`);
  const sticky = serviceFragment({ ...MODEL, id: long('http'), affinitySeconds: 86_400 });
  for (const { name } of [...sticky.chains, ...sticky.sets]) t.ok(name.length < 128, name);
});

t.test('ruleset: the base names the ranges of the cluster, and no other table', async (t) => {
  const base = baseScript({ clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' });
  for (const line of base.split('\n')) t.match(line, /^add (map|set|chain|rule) ip skein /);
  t.match(base, 'ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16');
  t.match(base, 'refuse ip daddr 10.96.0.0/16');
});
