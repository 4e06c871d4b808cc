/** The command line as a whole. Each subcommand loads only what it needs: `skein status` must not pay for a node. */

import { Command } from 'commander';
import { addBackupCommands } from './backup-commands.ts';
import { addLabCommands } from './lab.ts';
import { addNodeCommands } from './node-commands.ts';
import { addRecoveryCommands } from './recovery-commands.ts';
import { addSecretsCommands } from './secrets-commands.ts';
import { VERSION } from './version.ts';

/** Every command with its arguments, flags and help. */
export function createProgram(): Command {
  const program = new Command('skein')
    .description(
      'A container control plane without a dedicated master, compatible with Kubernetes.',
    )
    .version(VERSION)
    .showHelpAfterError('(run with --help for the options)')
    .enablePositionalOptions();
  addNodeCommands(program);
  addBackupCommands(program);
  addRecoveryCommands(program);
  addSecretsCommands(program);
  addLabCommands(program);
  return program;
}
