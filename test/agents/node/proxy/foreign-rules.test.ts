import t from 'tap';
import {
  COMMENT,
  findForeignForward,
  forwardAdmission,
} from '../../../../agents/node/proxy/foreign-rules.ts';
import { readForward } from '../../../../agents/node/proxy/legacy-firewall.ts';
import { MemoryNftables } from '../../../../agents/node/proxy/memory-nftables.ts';
import type { LegacyFirewall } from '../../../../agents/node/proxy/ports.ts';
import { silentLogger } from '../../../../src/lib/logger.ts';

const CIDR = '10.244.0.0/16';
const DOCKER = [
  'add table ip filter',
  'add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }',
  'add chain ip filter DOCKER-USER',
  'add rule ip filter DOCKER-USER counter return',
  'add rule ip filter FORWARD jump DOCKER-USER',
].join('\n');
const OTHERS =
  'add table inet guard\nadd chain inet guard fwd { type filter hook forward priority filter; policy drop; }';

function admission(nftables: MemoryNftables, legacy?: LegacyFirewall) {
  const reports: string[] = [];
  const admit = forwardAdmission(
    {
      nftables,
      log: silentLogger,
      report: (message) => reports.push(message),
      ...(legacy ? { legacy } : {}),
    },
    CIDR,
  );
  return { admit, reports };
}

async function dockerUser(nftables: MemoryNftables): Promise<string[]> {
  const { nftables: objects } = await nftables.list('chain ip filter DOCKER-USER');
  return objects.flatMap(({ rule }) => (rule ? [String((rule['expr'] as string[])[0])] : []));
}

t.test('foreign: forward chains of others that drop, ours left out', async (t) => {
  const chain = (family: string, table: string, name: string, more: object = {}) => ({
    chain: { family, table, name, ...more },
  });
  const forward = { hook: 'forward', policy: 'drop' };
  const found = findForeignForward([
    chain('ip', 'skein', 'x', forward),
    chain('ip', 'filter', 'FORWARD', forward),
    chain('ip', 'filter', 'INPUT', { hook: 'input', policy: 'drop' }),
    chain('inet', 'fw', 'fwd', { hook: 'forward', policy: 'accept' }),
    { table: { family: 'ip', name: 'filter' } },
  ]);
  t.strictSame(found, { dropping: ['ip filter FORWARD'], dockerUser: false });
  t.ok(findForeignForward([chain('ip', 'filter', 'DOCKER-USER')]).dockerUser);
  t.notOk(findForeignForward([chain('ip6', 'filter', 'DOCKER-USER')]).dockerUser);
});

t.test('foreign: Docker’s chain for administrators admits the pods, once', async (t) => {
  const nftables = new MemoryNftables();
  await nftables.run(DOCKER);
  const { admit, reports } = admission(nftables);
  await admit.check();
  await admit.check();
  t.strictSame(await dockerUser(nftables), [
    `ip daddr ${CIDR} accept comment "${COMMENT}"`,
    `ip saddr ${CIDR} accept comment "${COMMENT}"`,
    'counter return',
  ]);
  t.strictSame(reports, [], 'nothing stands in the way any more');
});

t.test('foreign: rules that Docker dropped at its restart come back', async (t) => {
  const nftables = new MemoryNftables();
  await nftables.run(DOCKER);
  const { admit } = admission(nftables);
  await admit.check();
  await nftables.run('flush chain ip filter DOCKER-USER');
  await admit.check();
  t.equal((await dockerUser(nftables)).length, 2);
});

t.test('foreign: what cannot be helped is reported once, and again when it changes', async (t) => {
  const nftables = new MemoryNftables();
  const { admit, reports } = admission(nftables);
  await admit.check();
  t.strictSame(reports, []);
  await nftables.run(OTHERS);
  await admit.check();
  await admit.check();
  t.equal(reports.length, 1);
  t.match(reports[0], /drops forwarded packets by policy \(inet guard fwd\).*10\.244\.0\.0\/16/);
  await nftables.run(DOCKER);
  await admit.check();
  t.equal(reports.length, 1, 'Docker beside it is admitted, and no news');
  await nftables.run('delete table inet guard');
  await admit.check();
  await nftables.run(OTHERS);
  await admit.check();
  t.equal(reports.length, 2, 'it went and came back');
});

t.test('foreign: a forward policy of drop without Docker’s chain is reported', async (t) => {
  const nftables = new MemoryNftables();
  await nftables.run(
    'add table ip filter\nadd chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }',
  );
  const { admit, reports } = admission(nftables);
  await admit.check();
  t.match(reports, [/ip filter FORWARD/]);
});

t.test('foreign: the older packet filter is cared for where it is in use', async (t) => {
  const rules = new Set<string>();
  const state = { drops: true, dockerUser: true };
  const legacy: LegacyFirewall = {
    forward: async () => state,
    admit: async (cidr, comment) => void rules.add(`${cidr} ${comment}`),
    withdraw: async (cidr, comment) => void rules.delete(`${cidr} ${comment}`),
  };
  const { admit, reports } = admission(new MemoryNftables(), legacy);
  await admit.check();
  t.strictSame([...rules], [`${CIDR} ${COMMENT}`]);
  t.strictSame(reports, []);
  await admit.withdraw();
  t.strictSame([...rules], []);
  state.dockerUser = false;
  await admit.check();
  t.match(reports, [/iptables-legacy filter FORWARD/]);
});

t.test('foreign: what iptables -S says of forwarded packets', async (t) => {
  const docker = '-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER\n-N DOCKER-USER\n';
  t.strictSame(readForward(docker), { drops: true, dockerUser: true });
  t.strictSame(readForward('-P FORWARD ACCEPT\n'), { drops: false, dockerUser: false });
  t.strictSame(readForward('-A DOCKER-USER -j RETURN\n'), { drops: false, dockerUser: false });
});

t.test('foreign: rules that cannot be read are no reason to fail', async (t) => {
  const nftables = new MemoryNftables();
  nftables.list = () => Promise.reject(new Error('netlink'));
  await admission(nftables).admit.check();
  t.pass('logged');
});
