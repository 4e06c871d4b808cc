import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t from 'tap';
import { type ClusterFile, dataPaths } from '../../src/node/data-dir.ts';
import {
  clearMachineRecord,
  type MachineRecord,
  readMachineRecord,
  writeMachineRecord,
} from '../../src/node/machine-record.ts';
import { type IdentityFacts, identityFault, refusedError } from '../../src/node/own-identity.ts';

const FILE: ClusterFile = {
  clusterId: 'c1',
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  caCertificatePem: 'cert',
  caKeyPem: 'key',
  tokenKeyPem: 'token',
  node: 'node1',
  peer: 'p1',
  members: [],
  founder: false,
  settled: true,
  starts: 4,
};
const MACHINE: MachineRecord = { clusterId: 'c1', node: 'node1', peer: 'p1', start: 4 };
const WELL: IdentityFacts = {
  root: '/data',
  file: FILE,
  machine: MACHINE,
  hasLog: true,
  joining: false,
};

t.test('identity: a directory that is its own and the newest may be used', (t) => {
  t.equal(identityFault(WELL), undefined);
  t.equal(identityFault({ ...WELL, machine: undefined }), undefined, 'moved to this machine');
  t.equal(
    identityFault({ ...WELL, machine: { ...MACHINE, start: 3 } }),
    undefined,
    'crashed between',
  );
  const { starts: _, ...uncounted } = FILE;
  t.equal(
    identityFault({ ...WELL, file: uncounted, machine: undefined }),
    undefined,
    'first release',
  );
  const nothing = { ...WELL, file: undefined, machine: undefined, hasLog: false };
  t.equal(identityFault(nothing), undefined, 'a new machine');
  t.equal(
    identityFault({ ...nothing, machine: MACHINE, joining: true }),
    undefined,
    'wiped, joins',
  );
  const unsettled = { ...FILE, settled: false };
  t.equal(identityFault({ ...WELL, file: unsettled, hasLog: false }), undefined, 'just begun');
  t.end();
});

const FAULTS: readonly [string, Partial<IdentityFacts>, RegExp][] = [
  [
    'a wiped directory',
    { file: undefined, hasLog: false },
    /is empty.*"node1".*mount it.*skein join/,
  ],
  ['a wiped log', { hasLog: false }, /log in \/data is gone/],
  ['a log without an owner', { file: undefined, machine: undefined }, /no cluster\.json/],
  ['an older copy', { machine: { ...MACHINE, start: 5 } }, /older copy.*4 starts.*have been 5/],
  [
    'the directory of another node',
    { machine: { ...MACHINE, peer: 'p2', node: 'node2' } },
    /belongs to node "node1" \(p1\).*this machine is node "node2" \(p2\)/,
  ],
  [
    'the directory of another cluster',
    { machine: { ...MACHINE, peer: 'p9', clusterId: 'c9' } },
    /of cluster c1, but.*of cluster c9/,
  ],
];

for (const [what, facts, message] of FAULTS) {
  t.test(`identity: ${what} is refused, and the way back named`, (t) => {
    const fault = identityFault({ ...WELL, ...facts });
    t.equal(fault?.code, 'data-damaged');
    t.match(fault?.message, message);
    t.match(fault?.message, /skein reset --yes --data-dir \/data/);
    t.match(fault?.message, /skein join/);
    t.end();
  });
}

t.test('identity: a removed node is told that, whatever else is wrong', (t) => {
  const fault = identityFault({ ...WELL, file: { ...FILE, removed: true }, hasLog: false });
  t.equal(fault?.code, 'not-admitted');
  t.end();
});

t.test('identity: who is refused by a member learns why, and what to do', (t) => {
  const older = refusedError('/data', 'p2', { kind: 'older-copy', detail: 'start 2 of 5' });
  t.match(older.message, /\/data is an older copy.*p2 refused it: start 2 of 5.*skein reset --yes/);
  const copy = refusedError('/data', 'p2', { kind: 'in-use', detail: 'another lives at X' });
  t.match(copy.message, /in use elsewhere.*another lives at X.*own directory back/);
  t.end();
});

t.test('identity: the machine remembers its node beside the data directory', async (t) => {
  const root = await mkdtemp(`${tmpdir()}/skein-identity-`);
  t.teardown(() => rm(root, { recursive: true }));
  const path = dataPaths(`${root}/data/`).machine;
  t.equal(path, `${root}/data-machine/node.json`);
  t.equal(await readMachineRecord(path), undefined);
  await writeMachineRecord(path, MACHINE);
  t.strictSame(await readMachineRecord(path), MACHINE);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  for (const garbage of [
    '',
    'null',
    '[]',
    '{"peer":7}',
    JSON.stringify({ ...MACHINE, start: 'x' }),
  ]) {
    await writeFile(path, garbage);
    t.equal(await readMachineRecord(path), undefined, 'what cannot be read bears no witness');
  }
  await clearMachineRecord(path);
  t.strictSame(await readdir(root), []);
  await mkdir(`${root}/data-machine`);
  await writeFile(`${root}/data-machine/else`, '');
  await clearMachineRecord(path);
  t.strictSame(await readdir(`${root}/data-machine`), ['else'], 'what is not ours stays');
});
