/** Runs other programs: arguments as a list (no shell), output captured and bounded, a deadline. */

import { execFile } from 'node:child_process';
import { SkeinError } from './errors.ts';

export type CommandOptions = {
  /** Text written to standard input. */
  readonly input?: string;
  /** The program is killed when it runs longer. Default 30 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
};

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Resolves with standard output. Rejects with code command-failed, naming the program and quoting its
 * standard error, when it cannot be run, exits with another code than 0, or exceeds the deadline.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { input, deadlineMs = 30_000, signal, env } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      {
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
        maxBuffer: OUTPUT_BYTES_MAX,
        ...(signal ? { signal } : {}),
        ...(env ? { env } : {}),
      },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const said = stderr.trim() || error.message;
        const text = `${program} ${args.join(' ')}: ${said}`;
        reject(new SkeinError('command-failed', text, { cause: error }));
      },
    );
    if (input !== undefined) {
      child.stdin?.on('error', () => {}); // A program that exits early says why on standard error.
      child.stdin?.end(input);
    }
  });
}
