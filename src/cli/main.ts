/** The `skein` command: runs what the arguments ask for; a failure is one line on standard error. */

import { messageOf, SkeinError } from '../lib/errors.ts';
import { createProgram } from './program.ts';

try {
  await createProgram().parseAsync();
} catch (error) {
  const known = error instanceof SkeinError;
  process.stderr.write(`skein: ${known ? messageOf(error) : (error as Error).stack}\n`);
  // A command may have chosen a code of its own.
  process.exitCode ||= 1;
}
