/** `skein up`, `join`, `status`, `token`, `kubeconfig`, `actors`: one machine's node. */

import { access } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { ActorInfo } from '../actors/types.ts';
import { createLogger } from '../lib/logger.ts';
import {
  flagOf,
  type NodeConfig,
  readConfigFile,
  resolveConfig,
  SETTING_KEYS,
  SETTINGS,
  type SettingKey,
  variableOf,
} from '../node/config.ts';
import { callControl, controlSocketPath, DEFAULT_DATA_DIR } from './control-client.ts';
import type { NodeStatusReport } from './status-types.ts';
import { formatTable } from './table.ts';

const DEFAULT_CONFIG_FILE = '/etc/skein/config.yaml';
const say = (line: string): void => void process.stdout.write(`${line}\n`);

export function addNodeCommands(program: Command): void {
  addRunCommands(program);
  addStatusCommands(program);
  addTokenCommands(program);
}

/** A command that takes every setting as a flag. */
function withSettings(command: Command): Command {
  command.option('--config <file>', `YAML file of settings (${DEFAULT_CONFIG_FILE} if it exists)`);
  for (const key of SETTING_KEYS) {
    const { describe, shownDefault } = SETTINGS[key];
    const about = `${describe} [${variableOf(key)}] (default: ${shownDefault})`;
    command.option(`${flagOf(key)} <value>`, about);
  }
  return command;
}

type SettingFlags = Partial<Record<SettingKey, string>> & { readonly config?: string };

async function loadConfig(flags: SettingFlags): Promise<ReturnType<typeof resolveConfig>> {
  const { config: file = process.env['SKEIN_CONFIG'], ...settings } = flags;
  const exists = await access(DEFAULT_CONFIG_FILE).then(
    () => true,
    () => false,
  );
  const path = file ?? (exists ? DEFAULT_CONFIG_FILE : undefined);
  return resolveConfig({
    flags: settings,
    environment: process.env,
    ...(path === undefined ? {} : { file: await readConfigFile(path) }),
  });
}

function addRunCommands(program: Command): void {
  withSettings(
    program
      .command('up')
      .description(
        'run this machine as a node: makes a cluster at first start, comes back to its cluster afterwards',
      ),
  ).action(async (flags: SettingFlags) => {
    const { config, given } = await loadConfig(flags);
    await run(config, { given });
  });
  withSettings(
    program
      .command('join <token>')
      .description(
        'run this machine as a node of an existing cluster; token from `skein token create`',
      ),
  ).action(async (token: string, flags: SettingFlags) => {
    const { config, given } = await loadConfig(flags);
    await run(config, { given, token });
  });
}

/** Runs the node until SIGTERM or SIGINT; a second signal ends at once. */
async function run(
  config: NodeConfig,
  options: { readonly given: ReadonlySet<SettingKey>; readonly token?: string },
): Promise<void> {
  const { startNode } = await import('../node/node.ts');
  const log = createLogger(config.logLevel, { node: config.nodeName });
  const started = new AbortController();
  let stopping = false;
  let node: Awaited<ReturnType<typeof startNode>> | undefined;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'stopping; containers go on');
    started.abort();
    void (node?.stop() ?? Promise.resolve()).then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  node = await startNode(config, { ...options, log, signal: started.signal });
  const failure = await node.failed;
  log.error({ error: failure }, 'the node cannot go on');
  process.exit(1);
}

type AtNode = { readonly dataDir: string; readonly output?: string };

/** A command that talks to the node of this machine. */
function local(program: Command, usage: string, about: string): Command {
  return program
    .command(usage)
    .description(about)
    .option(
      '--data-dir <path>',
      "the node's data directory",
      process.env['SKEIN_DATA_DIR'] ?? DEFAULT_DATA_DIR,
    );
}

const ask = <T>(dataDir: string, path: string): Promise<T> =>
  callControl<T>(controlSocketPath(dataDir), { method: 'GET', path });

function addStatusCommands(program: Command): void {
  local(
    program,
    'status',
    'the cluster as this node sees it: members, leader, term, revision, health',
  )
    .option('-o, --output <format>', 'text or json', 'text')
    .action(async ({ dataDir, output }: AtNode) => {
      const status = await ask<NodeStatusReport>(dataDir, '/status');
      say(output === 'json' ? JSON.stringify(status, null, 2) : describeStatus(status));
      if (status.health.some(({ ok }) => !ok)) process.exitCode = 1;
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
    .option('-o, --output <format>', 'text or json', 'text')
    .action(async ({ dataDir, output }: AtNode) => {
      const tree = await ask<ActorInfo>(dataDir, '/actors');
      say(output === 'json' ? JSON.stringify(tree, null, 2) : describeActors(tree));
    });
}

/** `skein status` for people. */
function describeStatus(status: NodeStatusReport): string {
  const rows = status.members.map((member) => [
    member.node,
    member.role,
    member.leader ? 'leader' : '',
    member.connected ? 'yes' : 'no',
    member.ready,
    member.addresses[0],
    member.peer,
  ]);
  const health = status.health.map(
    ({ check, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'} ${check}${detail ? `: ${detail}` : ''}`,
  );
  return [
    `node      ${status.node} (${status.role})`,
    `cluster   ${status.clusterId}`,
    `leader    ${status.leader?.node ?? 'none'}${status.quorum ? '' : ' (no quorum in reach)'}`,
    `term      ${status.term}`,
    `revision  ${status.revision} (log index ${status.appliedIndex} applied, ${status.commit} committed)`,
    `api       ${status.apiAddress}`,
    `version   ${status.version}`,
    '',
    formatTable(['NODE', 'ROLE', 'LEADS', 'CONNECTED', 'READY', 'ADDRESS', 'PEER'], rows),
    '',
    ...health,
  ].join('\n');
}

function describeActors(tree: ActorInfo): string {
  const rows: (string | number | undefined)[][] = [];
  const visit = (actor: ActorInfo, depth: number): void => {
    const name = depth === 0 ? actor.path : (actor.path.split('/').at(-1) ?? actor.path);
    rows.push([
      `${'  '.repeat(depth)}${name}`,
      `${actor.depth}/${actor.capacity}`,
      actor.processed,
      actor.rate.toFixed(1),
      actor.restarts,
      actor.lastFailure ?? '',
    ]);
    for (const child of actor.children) visit(child, depth + 1);
  };
  visit(tree, 0);
  return formatTable(
    ['ACTOR', 'MAILBOX', 'PROCESSED', 'PER SECOND', 'RESTARTS', 'LAST FAILURE'],
    rows,
  );
}

function seconds(text: string): number {
  const match = /^(\d+)(s|m|h|d)?$/.exec(text);
  if (!match) throw new InvalidArgumentError('expected a duration such as 90s, 10m, 24h or 7d');
  const factor = { s: 1, m: 60, h: 3600, d: 86_400 }[match[2] ?? 's'] ?? 1;
  return Number(match[1]) * factor;
}

function addTokenCommands(program: Command): void {
  const token = program.command('token').description('tokens with which machines join the cluster');
  local(token, 'create', 'print a new token')
    .option('--ttl <duration>', 'how long it is good for: 90s, 10m, 24h, 7d', seconds, 86_400)
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
    await callControl(controlSocketPath(dataDir), { method: 'DELETE', path: `/tokens/${id}` });
    say(`token ${id} is no longer good`);
  });
}
