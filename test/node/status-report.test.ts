import t from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import type { ConsensusStatus } from '../../src/consensus/types.ts';
import { resolveConfig } from '../../src/node/config.ts';
import type { MemberRecord } from '../../src/node/data-dir.ts';
import type { Foundation } from '../../src/node/foundation.ts';
import { NodeHealthChecks } from '../../src/node/health.ts';
import { putMember } from '../../src/node/members.ts';
import { reportStatus } from '../../src/node/status-report.ts';
import { objectKey } from '../../src/store/keys.ts';
import { createLocalStore } from '../../src/store/local-store.ts';

const record = (number: number): MemberRecord => ({
  peer: `p${number}`,
  node: `node${number}`,
  addresses: [`/ip4/10.0.0.${number}/tcp/7946`],
  api: `10.0.0.${number}:6443`,
});
const CONFIG = resolveConfig({
  flags: { nodeName: 'node1', advertiseAddress: '10.0.0.1' },
  environment: {},
}).config;

type Situation = {
  readonly leader?: string;
  readonly connected?: readonly string[];
  readonly voters?: readonly string[];
  readonly learners?: readonly string[];
  /** Members known from disk only. Default none. */
  readonly saved?: readonly MemberRecord[];
};

async function foundation(members: number, situation: Situation = {}): Promise<Foundation> {
  const { connected = [], voters = ['p1', 'p2', 'p3'], learners = [], saved = [] } = situation;
  const store = createLocalStore();
  for (let number = 1; number <= members; number++) await putMember(store, record(number));
  const status = {
    role: situation.leader === 'p1' ? 'leader' : 'follower',
    term: asTerm(4),
    leader: situation.leader,
    commit: asIndex(9),
    applied: asIndex(8),
    confState: { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false },
  } as unknown as ConsensusStatus;
  const peers = ['p2', 'p3', 'p4'].map((peer) => ({
    peer,
    connected: connected.includes(peer),
    addresses: [],
  }));
  const levels = { level: 2, members: new Map([['p2', { min: 1, max: 3, product: '9.9' }]]) };
  return {
    cluster: { clusterId: 'c', members: saved },
    mesh: { self: 'p1', peers: () => peers },
    consensus: { status: () => status, levels: () => levels },
    store,
    quota: { quotaBytes: 1000, problem: () => undefined },
    diskRoom: { problem: () => undefined },
  } as unknown as Foundation;
}

const report = (parts: Foundation) => reportStatus(parts, CONFIG, { version: '1', health: [] });

t.test('status: members with their place in the group, as this node sees them', async (t) => {
  const parts = await foundation(4, { leader: 'p2', connected: ['p2'], learners: ['p4'] });
  const node = (ready: string) => ({ status: { conditions: [{ type: 'Ready', status: ready }] } });
  for (const [name, ready] of [
    ['node1', 'True'],
    ['node3', 'False'],
  ] as const) {
    await parts.store.transact({
      checks: [],
      operations: [
        {
          op: 'put',
          key: objectKey({ group: '', plural: 'nodes', name }),
          value: Buffer.from(JSON.stringify(node(ready))),
          revisionOffset: -1,
        },
      ],
    });
  }
  const status = report(parts);
  t.strictSame(
    status.members.map((m) => [m.node, m.role, m.leader, m.connected, m.ready]),
    [
      ['node1', 'voter', false, true, 'True'],
      ['node2', 'voter', true, true, 'Unknown'],
      ['node3', 'voter', false, false, 'False'],
      ['node4', 'learner', false, false, 'Unknown'],
    ],
  );
  t.match(status, { leader: { node: 'node2', peer: 'p2' }, term: 4, commit: 9, appliedIndex: 8 });
  t.equal(status.votersWanted, 3);
  t.equal(status.level, 2);
  t.strictSame(
    status.members.map(({ levels, version }) => [levels, version]),
    [[], [{ min: 1, max: 3 }, '9.9'], [], []].map(([levels, version]) => [levels, version]),
    'who has not said what it understands is not guessed at',
  );
  t.equal(status.apiAddress, 'https://10.0.0.1:6443');
});

t.test('status: a quorum is a leader and a majority of voters in reach', async (t) => {
  const quorum = async (situation: Situation) => report(await foundation(3, situation)).quorum;
  t.ok(await quorum({ leader: 'p2', connected: ['p2'] }), 'two of three');
  t.notOk(await quorum({ leader: 'p1', connected: [] }), 'a leader alone');
  t.notOk(await quorum({ connected: ['p2', 'p3'] }), 'nobody leads');
  t.ok(await quorum({ leader: 'p1', voters: ['p1'] }), 'the only voter');
  t.notOk(await quorum({ leader: 'p2', connected: ['p2'], voters: ['p1', 'p2', 'p3', 'p4'] }));
});

t.test('status: before any state has arrived, the members on disk are shown', async (t) => {
  const parts = await foundation(0, { saved: [record(1), record(2)] });
  t.strictSame(
    report(parts).members.map(({ node }) => node),
    ['node1', 'node2'],
  );
});

t.test('health: what is wrong is said in words; nothing is said of what is well', async (t) => {
  const said = (health: NodeHealthChecks) =>
    Object.fromEntries(health.report().map(({ check, why }) => [check, why]));
  const empty = new NodeHealthChecks(await foundation(0), CONFIG);
  t.match(said(empty), { store: /no state/, quorum: /no leader is known/ });
  const lost = new NodeHealthChecks(await foundation(3, { leader: 'p2' }), CONFIG);
  t.match(said(lost), { store: undefined, quorum: /out of reach of a majority/ });
  const well = new NodeHealthChecks(
    await foundation(3, { leader: 'p2', connected: ['p2'] }),
    CONFIG,
  );
  t.ok(Object.values(said(well)).every((why) => why === undefined));
  t.strictSame(Object.keys(said(well)), ['store', 'quorum', 'runtime', 'space', 'disk']);
  t.equal(well.reportedReadiness(), undefined);
  well.watchPods({ runtimeProblem: () => 'Docker is away' });
  t.match(said(well), { runtime: 'Docker is away' });
  t.match(well.reportedReadiness(), { status: 'False', message: 'Docker is away' });
});
