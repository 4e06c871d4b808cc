/** `skein backup` and `skein restore`. */

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { SkeinError } from '../lib/errors.ts';
import type { BackupSummary } from '../node/recovery/backup-file.ts';
import type { Restored } from '../node/recovery/restore.ts';
import { oneOf } from './arguments.ts';
import { controlSocketPath, DEFAULT_DATA_DIR, streamControl } from './control-client.ts';
import { humanBytes } from './describe-recovery.ts';
import { loadConfig, type SettingFlags, withSettings } from './settings-flags.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sayAside = (line: string): void => void process.stderr.write(`${line}\n`);
const outputFormat = oneOf('text', 'json');
/** Until the first byte: the node waits for a leader, and stretches the passphrase. */
const BEGIN_DEADLINE_MS = 30_000;

/** Adds the commands of backups. */
export function addBackupCommands(program: Command): void {
  addBackup(program);
  addRestore(program);
}

type BackupFlags = {
  readonly dataDir: string;
  readonly passphraseFile?: string;
  readonly withoutKeys?: boolean;
  readonly local?: boolean;
  readonly output: string;
};

function addBackup(program: Command): void {
  program
    .command('backup <file>')
    .description(
      'write everything the running cluster holds, at one revision, to a file (- for standard output); any node will do',
    )
    .option(
      '--data-dir <path>',
      "the node's data directory [SKEIN_DATA_DIR]",
      process.env['SKEIN_DATA_DIR'] || DEFAULT_DATA_DIR,
    )
    .option(
      '--passphrase-file <path>',
      "include the cluster's keys, sealed with the first line of this file",
    )
    .option(
      '--without-keys',
      'leave the keys out: a restore makes a new authority, and needs the cluster key (skein secrets key) for Secrets',
    )
    .option('--local', 'what this node knows, when there is no quorum to ask for more')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText('after', '\nskein verify <file> checks a backup, skein restore <file> uses it.')
    .action(async (path: string, flags: BackupFlags) => {
      const { passBackup, refuseExisting, writeBackupFile } = await import(
        '../node/recovery/backup-file.ts'
      );
      const { passphraseFile, withoutKeys = false, local = false, dataDir } = flags;
      if ((passphraseFile === undefined) === !withoutKeys) {
        throw new SkeinError(
          'config-invalid',
          'the keys of the cluster (its authority, its Secrets): include them with --passphrase-file <path>, or leave them out with --without-keys',
        );
      }
      const aside = path === '-';
      if (!aside) await refuseExisting(path);
      const passphrase = passphraseFile && (await readSecret(passphraseFile));
      const chunks = await streamControl(controlSocketPath(dataDir), {
        method: 'POST',
        path: '/backup',
        body: { local, ...(passphrase ? { passphrase } : {}) },
        deadlineMs: BEGIN_DEADLINE_MS,
      });
      const summary = aside
        ? await passBackup(chunks, { write: toStandardOutput }, 'the backup')
        : await writeBackupFile(chunks, path);
      const tell = aside ? sayAside : say;
      tell(
        flags.output === 'json' ? JSON.stringify(summary, null, 2) : describeBackup(path, summary),
      );
    });
}

type RestoreFlags = SettingFlags & {
  readonly passphraseFile?: string;
  readonly newAuthority?: boolean;
  readonly secretsKeyFile?: string;
  readonly output: string;
};

function addRestore(program: Command): void {
  withSettings(
    program
      .command('restore <file>')
      .description(
        'make this machine the first node of a new cluster from a backup, in an empty data directory',
      )
      .option(
        '--passphrase-file <path>',
        "opens the keys in the backup with this file's first line",
      )
      .option('--new-authority', 'make new keys although the backup holds the old ones')
      .option(
        '--secrets-key-file <path>',
        'the old cluster key (skein secrets key), when the keys are not taken from the backup',
      )
      .option('-o, --output <format>', 'text or json', outputFormat, 'text'),
  ).action(async (path: string, flags: RestoreFlags) => {
    const { passphraseFile, newAuthority = false, secretsKeyFile, output, ...settings } = flags;
    const { restoreBackup } = await import('../node/recovery/restore.ts');
    const { config } = await loadConfig(settings);
    const passphrase = passphraseFile && (await readSecret(passphraseFile));
    const secretsKey = secretsKeyFile && (await readSecret(secretsKeyFile));
    const restored = await restoreBackup(path, {
      config,
      newAuthority,
      ...(passphrase ? { passphrase } : {}),
      ...(secretsKey ? { secretsKey } : {}),
    });
    say(output === 'json' ? JSON.stringify(restored, null, 2) : describeRestored(path, restored));
  });
}

/** `skein verify <file>`. */
export async function verifyBackupFile(path: string, output: string): Promise<void> {
  const { verifyBackup } = await import('../node/recovery/backup-file.ts');
  const report = await verifyBackup(path);
  if (output === 'json') return say(JSON.stringify(report, null, 2));
  const { sealed } = report.content;
  say(describeBackup(path, report));
  say(
    `intact: every byte is as it was written${sealed > 0 ? `; ${sealed} objects are sealed` : ''}`,
  );
}

/** The first line of a file. */
async function readSecret(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new SkeinError('config-invalid', `${path} cannot be read`, { cause });
  });
  const [line = ''] = text.split('\n');
  if (line.trim() !== '') return line.trim();
  throw new SkeinError('config-invalid', `the first line of ${path} is empty`);
}

function toStandardOutput(chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

function describeBackup(path: string, { header, bytes, sha256 }: BackupSummary): string {
  const { clusterKey, keys } = header;
  const needed = keys
    ? 'to restore it: this file and its passphrase'
    : clusterKey === null
      ? 'to restore it: this file; the cluster gets new keys'
      : `to restore it: this file and cluster key ${clusterKey} (skein secrets key prints it; keep it elsewhere)`;
  return [
    `file      ${path === '-' ? 'standard output' : path}, ${humanBytes(bytes)}`,
    `sha256    ${sha256}`,
    `cluster   ${header.clusterId}: ${[...header.members].sort().join(', ')}`,
    `revision  ${header.revision}, ${header.objects} objects, at ${header.time}`,
    header.linearizable
      ? `asked     ${header.node}, which had everything that was acknowledged by then`
      : `asked     ${header.node}, WITHOUT a quorum: there may have been newer writes`,
    needed,
  ].join('\n');
}

function describeRestored(path: string, restored: Restored): string {
  const { header, clusterId, node, revision, objects, nodesLeftOut, podsLeftOut, podsLost } =
    restored;
  return [
    `${node} is the first node of the new cluster ${clusterId}, from ${path}`,
    `revision  ${revision} (the backup had ${header.revision}, of ${header.time})`,
    `objects   ${objects}`,
    ...(nodesLeftOut.length === 0
      ? []
      : [
          `left out  nodes ${nodesLeftOut.join(', ')} and ${podsLeftOut} pods that were bound to them`,
        ]),
    ...(podsLost.length === 0
      ? []
      : [`lost      pods that nothing owns, and nobody makes anew: ${podsLost.join(', ')}`]),
    restored.keysKept
      ? 'keys      those of the old cluster: kubeconfigs and tokens stay good'
      : 'keys      new ones: kubeconfigs and service account tokens of the old cluster are void',
    'next: skein up with the same settings; then skein token create, and skein join on further machines',
  ].join('\n');
}
