import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import t, { type Test } from 'tap';
import { describeLab } from '../../src/cli/lab.ts';
import { createProgram } from '../../src/cli/program.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { type ControlRoutes, serveControl } from '../../src/node/control-server.ts';
import { flagOf, SETTING_KEYS, variableOf } from '../../src/node/settings.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

type Outcome = { readonly code: number | null; readonly out: string; readonly err: string };

/** Runs the command as a user does. */
function skein(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const env = { PATH: process.env['PATH'], ...environment };
  const child = spawn(process.execPath, [MAIN, ...args], { env });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString('utf8');
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8');
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

const STATUS = {
  node: 'node1',
  peer: 'p1',
  version: '1',
  clusterId: 'c',
  role: 'leader',
  leader: { node: 'node1', peer: 'p1' },
  term: 3,
  commit: 9,
  appliedIndex: 9,
  revision: 7,
  store: { objects: 12, bytes: 3 * 1024 ** 2, quotaBytes: 2 * 1024 ** 3, oldestRevision: 3 },
  quorum: true,
  votersWanted: 1,
  members: [
    {
      node: 'node1',
      peer: 'p1',
      role: 'voter',
      leader: true,
      connected: true,
      addresses: ['/ip4/10.0.0.1/tcp/7946/p2p/p1'],
      ready: 'True',
    },
  ],
  apiAddress: 'https://10.0.0.1:6443',
  health: [{ check: 'store', ok: true }],
};

/** A data directory with a control socket that answers as told. */
async function dataDir(t: Test, routes: ControlRoutes): Promise<string> {
  const directory = await mkdtemp(`${tmpdir()}/skein-cli-`);
  const server = await serveControl(`${directory}/skein.sock`, routes, silentLogger);
  t.teardown(async () => {
    await server.close();
    await rm(directory, { recursive: true });
  });
  return directory;
}

t.test('cli: status shows the cluster, and its exit code whether all is well', async (t) => {
  const health = [{ check: 'store', ok: true }];
  const dir = await dataDir(t, { 'GET /status': () => ({ ...STATUS, health }) });
  const well = await skein(['status', '--data-dir', dir]);
  t.equal(well.code, 0);
  t.match(well.out, /leader +node1/);
  t.match(well.out, /store +12 objects, 3\.0 of 2048\.0 MiB .*revision 3/);
  t.match(well.out, /node1 +voter +leader +yes +True +\/ip4\/10\.0\.0\.1\/tcp\/7946 +p1/);
  const json = await skein(['status', '-o', 'json'], { SKEIN_DATA_DIR: dir });
  t.strictSame(JSON.parse(json.out), STATUS, 'the variable names the directory as well');
  health.push({ check: 'quorum', ok: false });
  const unwell = await skein(['status', '--data-dir', dir]);
  t.equal(unwell.code, 1);
  t.match(unwell.out, /FAILED quorum/);
});

t.test('cli: without a node, status says how to go on and has a code of its own', async (t) => {
  const { code, out, err } = await skein(['status', '--data-dir', '/nowhere']);
  t.equal(code, 3);
  t.equal(out, '');
  t.match(err, /^skein: no Skein process answers at \/nowhere\/skein\.sock: is "skein up" running/);
  t.notMatch(err, /at async|Error:/, 'no stack for an expected failure');
});

t.test('cli: an error of the node is shown in its words', async (t) => {
  const dir = await dataDir(t, {
    'DELETE /nodes/': (_body, path) => {
      throw new SkeinError('config-invalid', `${path} cannot be removed: it is the only voter`);
    },
  });
  const { code, err } = await skein(['remove', 'node 2', '--data-dir', dir]);
  t.equal(code, 1);
  t.equal(err, 'skein: /nodes/node 2 cannot be removed: it is the only voter\n');
});

t.test('cli: tokens are made for a time, listed and revoked', async (t) => {
  const asked: object[] = [];
  const dir = await dataDir(t, {
    'POST /tokens': (body) => {
      asked.push(body);
      return { token: 'skein1.x' };
    },
    'GET /tokens': () => ({ tokens: [{ id: 'one', expiresAtMs: 0 }] }),
    'DELETE /tokens/': (_body, path) => ({ path }),
  });
  const at = ['--data-dir', dir];
  t.equal((await skein(['token', 'create', ...at])).out, 'skein1.x\n');
  await skein(['token', 'create', '--ttl', '10m', ...at]);
  t.strictSame(asked, [{ ttlSeconds: 86_400 }, { ttlSeconds: 600 }]);
  t.match((await skein(['token', 'list', ...at])).out, /one +1970-01-01T00:00:00\.000Z/);
  t.match((await skein(['token', 'revoke', 'one', ...at])).out, /token one is no longer good/);
});

/** Every command below `command`, itself included. */
const allCommands = (command: Command): Command[] => [
  command,
  ...command.commands.flatMap((one) => allCommands(one)),
];

t.test('cli: every command has a help, and every flag an explanation', async (t) => {
  const program = createProgram();
  const commands = allCommands(program);
  t.ok(commands.length > 25, `${commands.length} commands`);
  for (const command of commands) {
    t.ok(command.description(), command.name());
    t.match(command.helpInformation(), /^Usage: skein/, command.name());
    for (const { flags, description } of command.options) t.ok(description, flags);
  }
  const up = program.commands.find((command) => command.name() === 'up')?.helpInformation() ?? '';
  for (const key of SETTING_KEYS) {
    t.ok(up.includes(`${flagOf(key)} <value>`), flagOf(key));
    t.ok(up.includes(`[${variableOf(key)}]`), variableOf(key));
  }
});

t.test('cli: a wrong command or flag is told, with where the help is', async (t) => {
  const wrong = [
    ['upp'],
    ['up', '--nope'],
    ['remove'],
    ['reset'],
    ['status', '-o', 'xml'],
    ['token', 'create', '--ttl', '31d'],
    ['token', 'create', '--ttl', '0s'],
    ['token', 'create', '--ttl', 'soon'],
    ['lab', 'delay', 'a', 'b', 'slow'],
    ['lab', 'up', '--nodes', 'many'],
  ];
  for (const args of wrong) {
    let said = '';
    const program = createProgram();
    for (const command of allCommands(program)) {
      command.exitOverride().configureOutput({
        writeErr: (text) => {
          said += text;
        },
      });
    }
    const code = await program.parseAsync(args, { from: 'user' }).then(
      () => 0,
      (error: { exitCode?: number }) => error.exitCode,
    );
    t.equal(code, 1, args.join(' '));
    t.match(said, /^error: [\s\S]*\(run with --help for the options\)/, args.join(' '));
  }
});

t.test('cli: a bad setting ends the start with its name', async (t) => {
  const bad = await skein(['up', '--api-port', 'http']);
  t.equal(bad.code, 1);
  t.equal(bad.err, 'skein: --api-port: expected a whole number from 1 to 65535, got "http"\n');
  const variable = await skein(['up'], { SKEIN_VOTERS_MAX: '2' });
  t.match(variable.err, /^skein: SKEIN_VOTERS_MAX: expected 1, 3 or 5/);
  const file = await skein(['up'], { SKEIN_CONFIG: '/nowhere.yaml' });
  t.match(file.err, /^skein: \/nowhere\.yaml: ENOENT/);
});

t.test('cli: reset deletes nothing that is no node’s', async (t) => {
  const directory = t.testdir({ precious: 'data' });
  const { code, err } = await skein(['reset', '--yes', '--data-dir', directory]);
  t.equal(code, 1);
  t.match(err, /--data-dir: .* is no data directory of a node/);
});

t.test('cli: lab status shows hosts and every fault that lasts', async (t) => {
  const text = describeLab({
    name: 'lab',
    hosts: [
      {
        host: 'node1',
        address: '10.77.0.11',
        up: true,
        dockerd: true,
        skein: false,
        status: undefined,
        faults: { disk: { sync: { kind: 'delay', delayMs: 200 } }, clockOffsetMs: -5000 },
      },
    ],
    cuts: [['node1', 'node2']],
    oneWayCuts: [['node3', 'node2']],
    delays: [{ a: 'node1', b: 'node3', delayMs: 20, lossPercent: 1 }],
    kubeconfig: '/labs/lab/kubeconfig',
  });
  t.equal(
    text,
    `HOST   ADDRESS     MACHINE  DOCKER  SKEIN  ROLE  TERM  REVISION  LEADER
node1  10.77.0.11  up       up      down   -     -     -         -
cut: node1 - node2
cut: node3 > node2, one way
delay: node1 - node3: 20 ms, 1 % lost
disk: node1: sync takes 200 ms longer
clock: node1: 5000 ms behind
kubeconfig: /labs/lab/kubeconfig`,
  );
});

t.test('cli: a chaos run can be shown beforehand, the same for the same seed', async (t) => {
  const plan = ['lab', 'chaos', '--plan', '--seed', '4', '--minutes', '1'];
  const first = await skein(plan);
  t.equal(first.code, 0);
  t.match(first.out, /seed 4, 3 hosts/);
  t.match(
    first.out,
    / 10\. +\d+\.\d s {2}\S.* \[[a-z-]+\]/,
    'a line for each step, with its kinds',
  );
  t.equal((await skein(plan)).out, first.out);
  t.not((await skein([...plan, '--nodes', '5'])).out, first.out);
  const { out } = await skein([...plan, '--only', 'clock,flap']);
  t.strictSame(new Set(out.match(/\[[a-z-]+\]/g)), new Set(['[clock]', '[flap]']));
});

t.test('cli: a chaos run that cannot be is refused with what can', async (t) => {
  t.match(
    (await skein(['lab', 'chaos', '--plan', '--only', 'x'])).err,
    /no fault "x"; there are kill,/,
  );
  t.match((await skein(['lab', 'chaos', '--plan', '--nodes', '4'])).err, /Expected 3 or 5/);
  t.match((await skein(['lab', 'chaos', '--plan', '--minutes', '0'])).err, /minutes above 0/);
  t.match((await skein(['lab', 'disk', 'node1', 'broken'])).err, /use healthy, slow:<ms>/);
});
