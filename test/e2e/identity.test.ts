/**
 * A key is a promise: a data directory that was wiped, copied or put back from an older copy is refused with the way
 * back, and the way back works: the machine takes its old place under a new identity.
 */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { runCommand } from '../../src/lib/command.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;

const cluster = await TestCluster.start(t, { name: 'identity', images: false });

const dataOf = (host: string) => `${cluster.directory(host)}/root/var/lib/skein`;
const machineOf = (host: string) => `${cluster.directory(host)}/root/var/lib/skein-machine`;
const shell = (script: string) => runCommand('sh', ['-ec', script]);
/** The directories themselves are mounted: only what is in them can go. */
const wipe = (directory: string) => shell(`find ${directory} -mindepth 1 -delete`);
const copy = (from: string, to: string) => shell(`mkdir -p ${to}; cp -a ${from}/. ${to}`);
const putBack = async (from: string, to: string) => {
  await wipe(to);
  await copy(from, to);
};

const logOf = (host: string) => readFile(`${cluster.directory(host)}/skein.log`, 'utf8');

/** Starts a host whose node must end by itself, and answers what it said. */
async function refusal(host: string, flags: readonly string[] = []): Promise<string> {
  const before = (await logOf(host)).length;
  await cluster.startHost(host, flags).catch(() => {});
  const pid = await cluster.pid(host);
  await waitFor(`skein on ${host} to end`, async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    return stat === undefined || stat.includes(') Z ');
  });
  return (await logOf(host)).slice(before);
}

const members = async () => (await cluster.status(await cluster.leader()))?.members ?? [];
const peerOf = async (host: string) => (await members()).find(({ node }) => node === host)?.peer;

/** All three vote, and are connected. */
async function whole(): Promise<void> {
  await cluster.settled();
  await waitFor('three voters', async () => {
    const voting = (await members()).filter(({ role, connected }) => role === 'voter' && connected);
    if (voting.length !== 3) throw new Error(voting.map(({ node }) => node).join(' '));
    return true;
  });
}

let written = 0;
async function writes(count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await cluster.kubectl(['create', 'configmap', `write-${written++}`], {
      host: await cluster.leader(),
    });
  }
}

/** A host that follows, so that the leader stays while it is away. */
const follower = async () => {
  const leader = await cluster.leader();
  return cluster.hosts.find((host) => host !== leader && host !== 'node1') ?? '';
};

t.test(
  'identity: a wiped node founds no cluster of its own, and takes its old place',
  async (t) => {
    await whole();
    const before = await peerOf('node3');
    await cluster.kill('node3');
    await wipe(dataOf('node3'));
    const up = [SKEIN, 'up', `--advertise-address=${cluster.address('node3')}`];
    const { code, stderr } = await cluster.tryOnHost('node3', up);
    t.equal(code, 1);
    t.match(stderr, /is empty, but this machine was node "node3" of cluster .*skein join/);
    await cluster.startHost('node3');
    await whole();
    const known = (await members()).map(({ node }) => node).sort();
    t.strictSame(known, ['node1', 'node2', 'node3'], 'the old identity is gone');
    t.not(await peerOf('node3'), before, 'under a new one');
    await writes(1);
  },
);

t.test('identity: an older copy is refused, by the machine and by every member', async (t) => {
  const host = await follower();
  const backup = `${cluster.directory(host)}/backup`;
  const newest = `${cluster.directory(host)}/newest`;
  await cluster.stopHost(host);
  await copy(dataOf(host), backup);
  await cluster.startHost(host);
  await writes(2);
  await cluster.settled();
  await cluster.stopHost(host);
  await copy(dataOf(host), newest);
  await putBack(backup, dataOf(host));
  t.match(await refusal(host), /is an older copy of this node's data .*skein reset --yes/);
  await wipe(machineOf(host));
  const said = await refusal(host);
  t.match(said, /is an older copy of this node's data \(.* refused it: .*\).*skein reset --yes/);
  await putBack(newest, dataOf(host));
  await cluster.startHost(host);
  await whole();
  t.pass('the newest copy is welcome');
});

t.test(
  'identity: the directory of another node is refused, the other one undisturbed',
  async (t) => {
    const host = 'node3';
    const own = `${cluster.directory(host)}/own`;
    await cluster.stopHost(host);
    await copy(dataOf(host), own);
    const term = (await cluster.status('node1'))?.term;
    await putBack(dataOf('node1'), dataOf(host));
    const flags = ['--node-name=node1'];
    t.match(await refusal(host, flags), /belongs to node "node1" .* this machine is node "node3"/);
    await wipe(machineOf(host));
    t.match(
      await refusal(host, flags),
      /is in use elsewhere: .*another process with this key lives/,
    );
    t.equal((await cluster.status('node1'))?.term, term, 'no election');
    await putBack(own, dataOf(host));
    await cluster.startHost(host);
    await whole();
  },
);

t.test('identity: a copy that lacks acknowledged writes is found out by the leader', async (t) => {
  const host = await follower();
  const backup = `${cluster.directory(host)}/running`;
  await copy(dataOf(host), backup);
  await writes(3);
  await cluster.settled();
  await cluster.kill(host);
  await putBack(backup, dataOf(host));
  const said = await refusal(host);
  t.match(said, /has acknowledged log entries up to .* is an older copy.*skein reset --yes/);
  const before = await peerOf(host);
  t.match(await cluster.onHost(host, [SKEIN, 'reset', '--yes']), /is gone; skein join/);
  await cluster.startHost(host);
  await whole();
  t.not(await peerOf(host), before, 'it came back as another member under its name');
  await writes(1);
});
