/** `skein secrets`: how Secrets lie on the disks of the cluster. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { SkeinError } from '../lib/errors.ts';
import { oneOf, seconds } from './arguments.ts';
import { callControl, controlSocketPath } from './control-client.ts';
import { describeSecrets } from './describe.ts';
import { local } from './local.ts';
import type { SecretsStatus } from './status-types.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sayAside = (line: string): void => void process.stderr.write(`${line}\n`);
const outputFormat = oneOf('text', 'json');

/** A change waits for a quorum, and a status for nodes that do not answer. */
const DEADLINE_MS = 20_000;
const LOOK_MS = 500;
const TIMEOUT_SECONDS = 120;

type Reading = { readonly dataDir: string; readonly output: string };
type Changing = Reading & {
  readonly wait: boolean;
  readonly timeout: number;
  readonly kinds?: readonly string[];
};

const list = (text: string): readonly string[] => text.split(',').map((part) => part.trim());

/** Adds the commands. */
export function addSecretsCommands(program: Command): void {
  const secrets = program
    .command('secrets')
    .description('encryption of Secrets in the log, snapshots and backups (on unless turned off)');
  local(
    secrets,
    'status',
    'what is encrypted, under which key, and what each node still holds from before',
  )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async ({ dataDir, output }: Reading) => show(await read(dataDir), output));
  changing(
    local(
      secrets,
      'rotate',
      'make a new key; every node then writes its data anew under it, and deletes what is under the former one',
    ),
    'rotate',
  ).option(
    '--kinds <kinds>',
    'resources to encrypt from now on, with commas: secrets,configmaps',
    list,
  );
  changing(
    local(secrets, 'enable', 'encrypt Secrets, and delete what was written in plain'),
    'enable',
  ).option('--kinds <kinds>', 'resources to encrypt, with commas (default: secrets)', list);
  changing(
    local(secrets, 'disable', 'write Secrets in plain from now on').requiredOption(
      '--yes',
      'yes, in plain',
    ),
    'disable',
  );
  local(
    secrets,
    'key',
    "print the cluster's key, which every node keeps in cluster.json; without it no log, snapshot or backup of this cluster can be read",
  ).action(async ({ dataDir }: Reading) => {
    const path = '/secrets/key';
    const { key } = await callControl<{ key: string }>(controlSocketPath(dataDir), {
      method: 'GET',
      path,
    });
    say(key);
  });
}

const read = (dataDir: string): Promise<SecretsStatus> =>
  callControl(controlSocketPath(dataDir), {
    method: 'GET',
    path: '/secrets',
    deadlineMs: DEADLINE_MS,
  });

function show(status: SecretsStatus, output: string): void {
  say(output === 'json' ? JSON.stringify(status, null, 2) : describeSecrets(status));
}

function changing(command: Command, action: string): Command {
  return command
    .option('--no-wait', 'return as soon as the change is in force')
    .option(
      '--timeout <duration>',
      'how long to wait for the nodes to delete what is older; they go on by themselves',
      seconds,
      TIMEOUT_SECONDS,
    )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async ({ dataDir, output, wait, timeout, kinds }: Changing) => {
      let status = await callControl<SecretsStatus>(controlSocketPath(dataDir), {
        method: 'POST',
        path: '/secrets',
        body: { action, ...(kinds ? { kinds } : {}) },
        deadlineMs: DEADLINE_MS,
      });
      if (wait) status = await finished(dataDir, status, timeout);
      show(status, output);
      if (!wait || status.complete) return;
      throw new SkeinError(
        'deadline-exceeded',
        'not every node has deleted what is older; those that are up go on by themselves, others when they return: skein secrets status',
      );
    });
}

/** Tells how far it is whenever that changes. */
async function finished(
  dataDir: string,
  first: SecretsStatus,
  timeoutSeconds: number,
): Promise<SecretsStatus> {
  const endMs = performance.now() + timeoutSeconds * 1000;
  let status = first;
  let told = '';
  for (;;) {
    const done = status.nodes.filter(({ state }) => state === 'done').length;
    const line = `${done} of ${status.nodes.length} nodes hold nothing older than the change`;
    if (line !== told) sayAside(line);
    told = line;
    if (status.complete || performance.now() >= endMs) return status;
    await pause(LOOK_MS);
    status = await read(dataDir);
  }
}
