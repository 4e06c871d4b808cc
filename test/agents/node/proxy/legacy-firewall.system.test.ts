import t from 'tap';
import { TestNamespaces } from '../../../support/netns.ts';

const WORKER = new URL('./legacy-worker.ts', import.meta.url).pathname;
const CIDR = '10.244.0.0/16';

const namespaces = new TestNamespaces();
t.teardown(() => namespaces.end());
await namespaces.add('fw');
const iptables = (...args: string[]) => namespaces.run('fw', ['iptables-legacy', ...args]);
const worker = async (...args: string[]): Promise<unknown> =>
  JSON.parse(await namespaces.run('fw', [process.execPath, WORKER, ...args]));
const ours = async () =>
  (await iptables('-S', 'DOCKER-USER')).split('\n').filter((line) => line.includes('skein'));

t.test('legacy-firewall: where its tables are not in use it is not asked', async (t) => {
  t.equal(await worker('forward'), null);
});

t.test(
  'legacy-firewall: Docker’s chain admits the pods once, before all else, and lets go',
  async (t) => {
    await iptables('-P', 'FORWARD', 'DROP');
    t.strictSame(await worker('forward'), { drops: true, dockerUser: false });
    await iptables('-N', 'DOCKER-USER');
    await iptables('-A', 'DOCKER-USER', '-j', 'RETURN');
    t.strictSame(await worker('admit', CIDR, 'skein pods'), { drops: true, dockerUser: true });
    await worker('admit', CIDR, 'skein pods');
    t.strictSame((await ours()).sort(), [
      `-A DOCKER-USER -d ${CIDR} -m comment --comment "skein pods" -j ACCEPT`,
      `-A DOCKER-USER -s ${CIDR} -m comment --comment "skein pods" -j ACCEPT`,
    ]);
    const listed = (await iptables('-S', 'DOCKER-USER')).trim().split('\n');
    t.equal(listed.at(-1), '-A DOCKER-USER -j RETURN');
    await worker('withdraw', CIDR, 'skein pods');
    await worker('withdraw', CIDR, 'skein pods');
    t.strictSame(await ours(), []);
  },
);
