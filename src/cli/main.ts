/** The `skein` command. Each subcommand loads only what it needs: `skein status` must not pay for a node. */

import { Command } from 'commander';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { addLabCommands } from './lab.ts';
import { addNodeCommands } from './node-commands.ts';
import { VERSION } from './version.ts';

const program = new Command('skein')
  .description('A container control plane without a dedicated master, compatible with Kubernetes.')
  .version(VERSION)
  .showHelpAfterError('(run with --help for the options)')
  .enablePositionalOptions();

addNodeCommands(program);
addLabCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  const known = error instanceof SkeinError;
  process.stderr.write(`skein: ${known ? messageOf(error) : (error as Error).stack}\n`);
  // A command may have chosen a code of its own.
  process.exitCode ||= 1;
}
