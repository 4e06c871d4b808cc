/** Commands that talk to the node of this machine. */

import type { Command } from 'commander';
import { DEFAULT_DATA_DIR } from './control-client.ts';

/** Adds such a command to `program`. */
export function local(program: Command, usage: string, about: string): Command {
  return program
    .command(usage)
    .description(about)
    .option(
      '--data-dir <path>',
      "the node's data directory [SKEIN_DATA_DIR]",
      process.env['SKEIN_DATA_DIR'] || DEFAULT_DATA_DIR,
    );
}
