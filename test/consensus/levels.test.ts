/** Members of several versions in one group: nothing is written that one of them cannot read. */

import { Packr } from 'msgpackr';
import t, { type Test } from 'tap';
import { asIndex, asTerm, type RaftStatus } from '../../raft/types.ts';
import {
  decodeGroupCommand,
  encodeGroupCommand,
  isGroupCommand,
} from '../../src/consensus/group-command.ts';
import { LevelKeeper } from '../../src/consensus/level-keeper.ts';
import type { CommittedEntry, StateMachine } from '../../src/consensus/types.ts';
import { VersionedMachine } from '../../src/consensus/versioned-machine.ts';
import {
  commonLevel,
  LEVELS,
  type LevelRange,
  levelFault,
  OUR_LEVELS,
  parseLevels,
} from '../../src/consensus/versions.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Mesh } from '../../src/mesh/types.ts';
import { TestCluster, type TestMember, until } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

const range = (min: number, max: number): LevelRange => ({ min, max });

t.test('levels: every level of this release is described', (t) => {
  const known = Object.keys(LEVELS).map(Number);
  t.strictSame(known, [...known].sort());
  t.equal(known.at(-1), OUR_LEVELS.max);
  t.end();
});

t.test('levels: who does not understand the cluster learns both versions and the remedy', (t) => {
  t.equal(levelFault(2, range(1, 2), '0.2.0'), undefined);
  t.match(levelFault(3, range(1, 2), '0.2.0'), {
    code: 'version-unsupported',
    message:
      /at feature level 3, .*\(0\.2\.0\) understands levels 1 to 2: start this node with a version that understands level 3/,
  });
  t.match(levelFault(1, range(2, 3), '0.3.0'), {
    code: 'version-unsupported',
    message: /level 1 \(release 0\.1\).*levels 2 to 3: upgrade through a version that understands/,
  });
  t.end();
});

t.test('levels: the common one is the lowest, and none while somebody is unknown', (t) => {
  t.equal(commonLevel([range(1, 3), range(1, 2), range(2, 4)]), 2);
  t.equal(commonLevel([range(1, 3), undefined]), undefined);
  t.equal(commonLevel([]), undefined);
  for (const bad of [undefined, null, {}, { min: 0, max: 1 }, { min: 3, max: 2 }, { min: 1 }]) {
    t.equal(parseLevels(bad), undefined);
  }
  t.strictSame(parseLevels({ min: 1, max: 2, product: 'x' }), range(1, 2));
  t.end();
});

t.test('levels: entries of the group are told from all others, and never skipped', (t) => {
  const command = encodeGroupCommand({ kind: 'level', level: 7 });
  t.ok(isGroupCommand(command));
  t.strictSame(decodeGroupCommand(command), { kind: 'level', level: 7 });
  const packr = new Packr({ useRecords: false });
  for (const value of [null, 0, -1, 'text', [1], { a: 1 }, Buffer.alloc(9), true, 1.5]) {
    t.notOk(isGroupCommand(packr.pack(value)));
  }
  t.notOk(isGroupCommand(Buffer.alloc(0)));
  const later = [
    [2, 'level', 3],
    [1, 'keys', 3],
    [1, 'level', 'x'],
  ].map((fields) => Buffer.concat([Buffer.of(0xc1), packr.pack(fields)]));
  for (const data of [...later, Buffer.of(0xc1), Buffer.of(0xc1, 0x07)]) {
    t.throws(() => decodeGroupCommand(data), { code: 'version-unsupported' });
  }
  t.end();
});

/** A machine that remembers what it was given. */
function recorder() {
  const seen: string[] = [];
  const machine: StateMachine = {
    apply: (entries) => {
      seen.push(entries.map(({ data }) => Buffer.from(data).toString()).join(' '));
      return entries.map(({ index }) => `result ${index}`);
    },
    snapshot: (level) => ({
      async *chunks() {
        yield Buffer.from(`at ${level}`);
      },
      release: () => {},
    }),
    restore: async (_chunks, level) => void seen.push(`restored at ${level}`),
  };
  return { machine, seen };
}

const entries = (...data: (string | Buffer)[]): CommittedEntry[] =>
  data.map((item, at) => ({
    index: asIndex(at + 1),
    term: asTerm(1),
    data: Buffer.from(item as string),
  }));
const level = (number: number) => encodeGroupCommand({ kind: 'level', level: number });
async function* nothing(): AsyncGenerator<Uint8Array> {}

t.test('levels: the state machine sees its own entries only, each answer at its place', (t) => {
  const { machine, seen } = recorder();
  const reached: number[] = [];
  const versioned = new VersionedMachine(machine, {
    levels: range(1, 3),
    product: 'x',
    onLevel: (now) => reached.push(now),
  });
  t.strictSame(versioned.apply(entries('a', 'b', level(2), 'c', level(2), level(3))), [
    'result 1',
    'result 2',
    null,
    'result 4',
    null,
    null,
  ]);
  t.strictSame(seen, ['a b', 'c']);
  t.strictSame(reached, [2, 3]);
  versioned.apply(entries(level(2)));
  t.equal(versioned.level, 3, 'the entry of a former leader lowers nothing');
  t.throws(() => versioned.apply(entries('d', level(4), 'e')), { code: 'version-unsupported' });
  t.strictSame(seen.slice(2), ['d'], 'nothing behind it is applied');
  t.end();
});

t.test('levels: a snapshot is in the formats of the level, and says so', async (t) => {
  const { machine, seen } = recorder();
  const versioned = new VersionedMachine(machine, { levels: range(1, 2), product: 'x' });
  await versioned.restore(nothing());
  t.equal(versioned.level, 1, 'of the first release');
  await versioned.restore(nothing(), 2);
  t.equal(versioned.level, 2);
  const texts: string[] = [];
  for await (const chunk of versioned.snapshot().chunks()) texts.push(String(chunk));
  t.strictSame(texts, ['at 2']);
  await t.rejects(versioned.restore(nothing(), 3), { code: 'version-unsupported' });
  t.strictSame(seen, ['restored at 1', 'restored at 2'], 'what is refused changes nothing');
});

t.test('levels: a member that knows nothing of them counts as the first release', async (t) => {
  const clock = new VirtualClock();
  const proposed: number[] = [];
  const answers = new Map<string, unknown>([['b', { ...range(1, 4), level: 1, product: 'new' }]]);
  const mesh = {
    self: 'a',
    serve: () => {},
    peers: () => [],
    request: async (peer: string) => {
      const answer = answers.get(peer);
      if (answer instanceof SkeinError) throw answer;
      return answer;
    },
  };
  const keeper = new LevelKeeper(
    {
      mesh: mesh as unknown as Mesh,
      clock,
      logger: silentLogger,
      level: () => 1,
      propose: (data) => proposed.push(decodeGroupCommand(data).level),
      fault: () => undefined,
      onFatal: (error) => t.fail(String(error)),
    },
    { ...range(1, 3), product: 'own' },
    1000,
  );
  const lists = { votersOutgoing: [], learnersNext: [], autoLeave: false };
  const confState = { ...lists, voters: ['a', 'b'], learners: ['c'] };
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      keeper.observe({ role: 'leader', confState } as unknown as RaftStatus);
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  answers.set('c', new SkeinError('peer-unreachable', 'away'));
  await pass(5000);
  t.strictSame(proposed, [], 'one is away');
  answers.set('c', new SkeinError('remote-failed', 'not served'));
  await pass(5000);
  t.strictSame(proposed, [], 'one is of the first release');
  t.match(keeper.report().members.get('c'), range(1, 1));
  keeper.disconnected('c');
  answers.set('c', { ...range(1, 2), product: '' });
  await pass(500);
  t.strictSame(proposed, [], 'there is time to go back');
  await pass(1500);
  t.strictSame(proposed, [2], 'what all understand');
});

const OLD = range(1, 2);
const NEW = range(1, 3);
const at = (understood: LevelRange, raiseAfterMs = 100) => ({
  levels: { understood, raiseAfterMs, product: `to ${understood.max}` },
});

async function groupOf(t: Test, ranges: Readonly<Record<string, LevelRange>>) {
  const cluster = new TestCluster({ consensus: { snapshots: { snapshotEntries: 30 } } });
  t.teardown(() => cluster.stop());
  const [[first = '', founderRange] = [], ...others] = Object.entries(ranges);
  const founder = await cluster.start(first, { bootstrap: true, ...at(founderRange ?? OLD) });
  for (const [name, understood] of others) {
    await cluster.start(name, at(understood));
    await founder.consensus.addMember(name);
  }
  await until(
    () => founder.consensus.status().confState.voters.length === Object.keys(ranges).length,
    'all vote',
  );
  return cluster;
}

const levelsOf = (cluster: TestCluster) =>
  [...cluster.members.values()].map(({ consensus }) => consensus.levels().level);
const write = async (member: TestMember | undefined, name: string) =>
  member?.store.transact({ checks: [], operations: [put(`/test/things//${name}`, {})] });
async function restart(cluster: TestCluster, name: string, understood: LevelRange) {
  cluster.kill(name);
  await cluster.leader();
  return cluster.start(name, at(understood));
}

t.test('levels: an upgrade, member by member, and the way back until it is complete', async (t) => {
  const cluster = await groupOf(t, { a: OLD, b: OLD, c: OLD });
  t.strictSame(levelsOf(cluster), [2, 2, 2]);
  await restart(cluster, 'b', NEW);
  await restart(cluster, 'c', NEW);
  for (let count = 0; count < 40; count++) await write(cluster.member('c'), `mixed${count}`);
  const back = await restart(cluster, 'c', OLD);
  await write(back, 'rolled-back');
  await new Promise((resolve) => setTimeout(resolve, 700));
  t.strictSame(levelsOf(cluster), [2, 2, 2], 'nothing is raised while one is old');
  t.strictSame(back.fatal, [], 'and the one that went back works');
  await restart(cluster, 'c', NEW);
  await restart(cluster, 'a', NEW);
  await until(() => levelsOf(cluster).every((now) => now === 3), 'all have been upgraded');
  const report = cluster.member('a').consensus.levels();
  t.strictSame(
    [...report.members].sort().map(([name, { max }]) => `${name} ${max}`),
    ['a 3', 'b 3', 'c 3'],
  );
  for (let count = 0; count < 40; count++) await write(cluster.member('b'), `new${count}`);
  t.equal(cluster.disks.get('b')?.snapshot?.meta.level, 3, 'snapshots say their level');
  const late = await restart(cluster, 'b', NEW);
  await until(() => late.consensus.levels().level === 3, 'it is known after a restart');
});

t.test('levels: who comes back too old ends, and says what to do', async (t) => {
  const cluster = await groupOf(t, { a: NEW, b: NEW, c: NEW });
  t.strictSame(new Set(levelsOf(cluster)), new Set([3]), 'a new group begins at the newest level');
  cluster.kill('c');
  await cluster.leader();
  const message = /feature level 3.*\(to 2\) understands levels 1 to 2: start this node with/;
  // Its own snapshot, or the first member it hears, tells.
  const outcome = await cluster.start('c', at(OLD)).then(
    async (member) => {
      await until(() => member.fatal.length > 0, 'it ends');
      return member.fatal[0];
    },
    (error: unknown) => error,
  );
  t.match(outcome, { code: 'version-unsupported', message });
  const joiner = await cluster.start('d', at(OLD));
  const { consensus } = await cluster.leader(['a', 'b']);
  await consensus.addMember('d');
  await until(() => joiner.fatal.length > 0, 'nor does it begin');
  t.match(joiner.fatal[0], { code: 'version-unsupported', message });
  cluster.kill('d');
  await write(cluster.member('a'), 'on');
  t.strictSame(cluster.member('a').fatal, []);
});

t.test('levels: a snapshot at the first level is what the first release wrote', async (t) => {
  const FIRST = range(1, 1);
  const cluster = await groupOf(t, { a: FIRST });
  for (let count = 0; count < 40; count++) await write(cluster.member('a'), `one${count}`);
  const meta = () => cluster.disks.get('a')?.snapshot?.meta;
  await until(() => (meta()?.index ?? 0) > 1, 'a snapshot');
  t.strictSame(Object.keys(meta() ?? {}).sort(), ['confState', 'index', 'term']);
  cluster.kill('a');
  const upgraded = await cluster.start('a', at(OLD));
  await until(() => upgraded.consensus.levels().level === 2, 'and the next one goes on from it');
});
