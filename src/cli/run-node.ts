/** Runs a node in the foreground: `skein up` and `skein join`. */

import { hasCode, SkeinError } from '../lib/errors.ts';
import { createLogger, type Logger } from '../lib/logger.ts';
import type { RunningNode, StartOptions } from '../node/node.ts';
import type { NodeConfig, SettingKey } from '../node/settings.ts';

export type RunOptions = {
  readonly given: ReadonlySet<SettingKey>;
  readonly token?: string;
};

export type RunEnvironment = {
  /** Starts the node; see startNode. */
  readonly start: (config: NodeConfig, options: StartOptions) => Promise<RunningNode>;
  /** Calls the listener for every SIGTERM and SIGINT. */
  readonly onSignal: (listener: (signal: string) => void) => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  readonly log: Logger;
};

/** Parts have their own deadlines; this one is for a stop that hangs in spite of them. */
const STOP_DEADLINE_MS = 30_000;

/**
 * Runs the node until a signal or its failure and resolves with the exit code: 0 after an ordinary stop, also one that
 * came while the node was starting. A second signal ends the process at once. Rejects when the node cannot start.
 */
export async function runNode(
  config: NodeConfig,
  options: RunOptions,
  environment: RunEnvironment,
): Promise<number> {
  const { start, onSignal, exit, log } = environment;
  const stopping = new AbortController();
  const told = new Promise<void>((resolve) => {
    onSignal((signal) => {
      if (stopping.signal.aborted) return exit(1);
      log.info({ signal }, 'stopping; containers go on');
      stopping.abort(new SkeinError('aborted', `told to stop by ${signal}`));
      setTimeout(() => exit(1), STOP_DEADLINE_MS).unref();
      resolve();
    });
  });
  let node: RunningNode;
  try {
    node = await start(config, { ...options, log, signal: stopping.signal });
  } catch (error) {
    // Everything that had been started is stopped again by now.
    if (stopping.signal.aborted && hasCode(error, 'aborted')) return 0;
    throw error;
  }
  const failure = await Promise.race([node.failed, told]);
  if (failure === undefined) {
    await node.stop();
    return 0;
  }
  log.error({ error: failure }, 'the node cannot go on');
  return 1;
}

/** Runs the node in this process. */
export async function runHere(config: NodeConfig, options: RunOptions): Promise<never> {
  const { startNode } = await import('../node/node.ts');
  const code = await runNode(config, options, {
    start: startNode,
    onSignal: (listener) => {
      process.on('SIGTERM', listener);
      process.on('SIGINT', listener);
    },
    exit: (status) => process.exit(status),
    log: createLogger(config.logLevel, { node: config.nodeName }),
  });
  process.exit(code);
}
