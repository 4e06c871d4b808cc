/** `skein up`, `join`, `reset`, `status`, `remove`, `token`, `kubeconfig`, `actors`: one machine's node. */

import { type Command, InvalidArgumentError } from 'commander';
import type { ActorInfo } from '../actors/types.ts';
import { hasCode, SkeinError } from '../lib/errors.ts';
import { oneOf, seconds } from './arguments.ts';
import { callControl, controlSocketPath } from './control-client.ts';
import { describeActors, describeStatus } from './describe.ts';
import { local } from './local.ts';
import { loadConfig, type SettingFlags, withSettings } from './settings-flags.ts';
import type { NodeStatusReport } from './status-types.ts';
import { formatTable } from './table.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const outputFormat = oneOf('text', 'json');

/** Exit codes of `skein status`, for scripts and service managers. */
const EXIT_UNWELL = 1;
const EXIT_NOT_RUNNING = 3;

const TTL_DEFAULT_SECONDS = 86_400;
const TTL_SECONDS_MAX = 30 * 86_400;
/** A removal may have to hand leadership over first, and waits for a quorum. */
const REMOVE_DEADLINE_MS = 40_000;

/** Adds the commands of a node. */
export function addNodeCommands(program: Command): void {
  addRunCommands(program);
  addStatusCommands(program);
  addMemberCommands(program);
  addTokenCommands(program);
}

function addRunCommands(program: Command): void {
  withSettings(
    program
      .command('up')
      .description(
        'run this machine as a node: makes a cluster at first start, comes back to its cluster afterwards',
      ),
  ).action(async (flags: SettingFlags) => {
    const { runHere } = await import('./run-node.ts');
    const { config, given } = await loadConfig(flags);
    await runHere(config, { given });
  });
  withSettings(
    program
      .command('join [token]')
      .description(
        'run this machine as a node of an existing cluster; token from `skein token create`, as an argument or in the variable SKEIN_TOKEN',
      ),
  ).action(async (argument: string | undefined, flags: SettingFlags) => {
    const { runHere } = await import('./run-node.ts');
    // Arguments show in the list of processes: from now on this one says no more than its name.
    process.title = 'skein join';
    const token = argument ?? process.env['SKEIN_TOKEN'];
    delete process.env['SKEIN_TOKEN'];
    if (!token) {
      throw new SkeinError(
        'config-invalid',
        'no join token: give it as an argument or in SKEIN_TOKEN; `skein token create` on a member prints one',
      );
    }
    const { config, given } = await loadConfig(flags);
    await runHere(config, { given, token });
  });
  withSettings(
    program
      .command('reset')
      .description(
        "make this machine forget its cluster: ends the node's containers, removes its network and deletes its data directory",
      )
      .requiredOption('--yes', 'yes, delete everything')
      .option(
        '--keep-pods',
        'leave containers and their network running: a node that joins anew under the same name goes on with those that are still its own',
      ),
  ).action(async ({ yes: _, keepPods = false, ...flags }: SettingFlags & ResetFlags) => {
    const { resetNode } = await import('../node/reset.ts');
    const { config } = await loadConfig(flags);
    const { createLogger } = await import('../lib/logger.ts');
    await resetNode(config, createLogger(config.logLevel), { keepPods });
    const gone = keepPods
      ? 'the node is gone, and its containers go on'
      : `${config.dataDir} is gone`;
    say(`${gone}; skein join makes this machine a new node`);
  });
}

type ResetFlags = { readonly yes: true; readonly keepPods?: boolean };

type AtNode = { readonly dataDir: string; readonly output?: string };

const ask = <T>(dataDir: string, path: string): Promise<T> =>
  callControl<T>(controlSocketPath(dataDir), { method: 'GET', path });

function addStatusCommands(program: Command): void {
  local(
    program,
    'status',
    'the cluster as this node sees it: members, leader, term, revision, health',
  )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText(
      'after',
      `\nExit code: 0 all is well, ${EXIT_UNWELL} a check failed, ${EXIT_NOT_RUNNING} no node runs here.`,
    )
    .action(async ({ dataDir, output }: AtNode) => {
      const status = await ask<NodeStatusReport>(dataDir, '/status').catch((error: unknown) => {
        if (hasCode(error, 'peer-unreachable')) process.exitCode = EXIT_NOT_RUNNING;
        throw error;
      });
      say(output === 'json' ? JSON.stringify(status, null, 2) : describeStatus(status));
      if (status.health.some(({ ok }) => !ok)) process.exitCode = EXIT_UNWELL;
    });
  local(program, 'kubeconfig', "print an administrator's kubeconfig").action(
    async ({ dataDir }: AtNode) => {
      const { kubeconfig } = await ask<{ kubeconfig: string }>(dataDir, '/kubeconfig');
      process.stdout.write(kubeconfig);
    },
  );
  local(
    program,
    'actors',
    "this node's tree of actors: mailbox depth, rate, restarts, last failure",
  )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async ({ dataDir, output }: AtNode) => {
      const tree = await ask<ActorInfo>(dataDir, '/actors');
      say(output === 'json' ? JSON.stringify(tree, null, 2) : describeActors(tree));
    });
}

type Removal = { readonly node: string; readonly untold?: string };

function addMemberCommands(program: Command): void {
  local(
    program,
    'remove <node>',
    'remove another node from the cluster, alive or dead: it may not return under its old identity. Drain it first (kubectl drain) if it still works.',
  ).action(async (node: string, { dataDir }: AtNode) => {
    const removal = await callControl<Removal>(controlSocketPath(dataDir), {
      method: 'DELETE',
      path: `/nodes/${encodeURIComponent(node)}`,
      deadlineMs: REMOVE_DEADLINE_MS,
    });
    say(`node ${removal.node} is no member any more`);
    if (removal.untold !== undefined) {
      say(`it could not be told (${removal.untold}): whatever runs there goes on until it is`);
      say('stopped; if the machine is to be used again, run there: skein reset --yes');
    }
  });
}

/** Seconds that a token may live. */
function tokenLife(text: string): number {
  const life = seconds(text);
  if (life >= 1 && life <= TTL_SECONDS_MAX) return life;
  throw new InvalidArgumentError('Expected a duration from 1s to 30d.');
}

function addTokenCommands(program: Command): void {
  const token = program.command('token').description('tokens with which machines join the cluster');
  local(token, 'create', 'print a new token')
    .option(
      '--ttl <duration>',
      'how long it is good for: 90s, 10m, 24h, 7d; at most 30d',
      tokenLife,
      TTL_DEFAULT_SECONDS,
    )
    .action(async ({ dataDir, ttl }: AtNode & { ttl: number }) => {
      const answer = await callControl<{ token: string }>(controlSocketPath(dataDir), {
        method: 'POST',
        path: '/tokens',
        body: { ttlSeconds: ttl },
      });
      say(answer.token);
    });
  local(token, 'list', 'tokens that are still good, without their secrets').action(
    async ({ dataDir }: AtNode) => {
      const { tokens } = await ask<{ tokens: { id: string; expiresAtMs: number }[] }>(
        dataDir,
        '/tokens',
      );
      const rows = tokens.map(({ id, expiresAtMs }) => [id, new Date(expiresAtMs).toISOString()]);
      say(formatTable(['ID', 'GOOD UNTIL'], rows));
    },
  );
  local(token, 'revoke <id>', 'end a token now').action(async (id: string, { dataDir }: AtNode) => {
    const path = `/tokens/${encodeURIComponent(id)}`;
    await callControl(controlSocketPath(dataDir), { method: 'DELETE', path });
    say(`token ${id} is no longer good`);
  });
}
