/**
 * Runs CNI plugins (specification 1.0.0): ADD in the order of the configuration, each plugin seeing the result of the one
 * before; DEL in reverse. A plugin that hangs is killed at its deadline; what it printed says why it failed.
 */

import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { abortError } from '../../../src/lib/async.ts';
import { messageOf, SkeinError } from '../../../src/lib/errors.ts';
import type { CniConfig, CniPlugin } from './cni.ts';

export type CniResult = {
  readonly ips?: readonly { readonly address: string }[];
  readonly [key: string]: unknown;
};

export type CniContainer = {
  readonly containerId: string;
  /** Empty on DEL when the namespace is gone. */
  readonly netnsPath: string;
  /** CNI_ARGS: K8S_POD_NAME and the like. */
  readonly args: Readonly<Record<string, string>>;
};

export type CniRunner = {
  /** Rejects with prerequisite-missing, network-failed or aborted; what was added by then is for `del` to release. */
  add(config: CniConfig, container: CniContainer, signal?: AbortSignal): Promise<CniResult>;
  /** Every plugin gets its chance to release; rejects afterwards with the first failure. */
  del(config: CniConfig, container: CniContainer, signal?: AbortSignal): Promise<void>;
};

export type CniRunnerOptions = {
  /** A plugin that runs longer is killed. Default 20 s. */
  readonly deadlineMs?: number;
};

const INTERFACE = 'eth0';
const OUTPUT_BYTES_MAX = 1024 * 1024;
const QUOTED_MAX = 500;

/** The program of plugin `type`; throws prerequisite-missing when it is in none of `directories`. */
export async function findPlugin(type: string, directories: readonly string[]): Promise<string> {
  for (const directory of directories) {
    const path = `${directory}/${type}`;
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new SkeinError(
    'prerequisite-missing',
    `the CNI plugin "${type}" is in none of ${directories.join(', ')}; install it with: apt-get install containernetworking-plugins`,
  );
}

/** Runs plugins found in `binDirs`, the first directory first. */
export function createCniRunner(
  binDirs: readonly string[],
  { deadlineMs = 20_000 }: CniRunnerOptions = {},
): CniRunner {
  const call = async (command: 'ADD' | 'DEL', options: Call): Promise<string> => {
    const { config, plugin, container, previous, signal } = options;
    const { cniVersion, name } = config;
    const input = { ...plugin, cniVersion, name, ...(previous ? { prevResult: previous } : {}) };
    const program = await findPlugin(plugin.type, binDirs);
    const env = {
      PATH: process.env['PATH'] ?? '',
      CNI_COMMAND: command,
      CNI_CONTAINERID: container.containerId,
      CNI_NETNS: container.netnsPath,
      CNI_IFNAME: INTERFACE,
      CNI_PATH: binDirs.join(':'),
      CNI_ARGS: Object.entries({ IgnoreUnknown: '1', ...container.args })
        .map(([key, value]) => `${key}=${value}`)
        .join(';'),
    };
    return new PluginRun({ program, env, deadlineMs, signal }).run(JSON.stringify(input));
  };
  return {
    async add(config, container, signal) {
      let previous: CniResult | undefined;
      for (const plugin of config.plugins) {
        const text = await call('ADD', { config, plugin, container, previous, signal });
        if (text.trim() !== '') previous = parseResult(plugin.type, text);
      }
      return previous ?? {};
    },
    async del(config, container, signal) {
      let failure: unknown;
      for (const plugin of [...config.plugins].reverse()) {
        await call('DEL', { config, plugin, container, signal }).catch((error: unknown) => {
          failure ??= error;
        });
      }
      if (failure !== undefined) throw failure;
    },
  };
}

type Call = {
  readonly config: CniConfig;
  readonly plugin: CniPlugin;
  readonly container: CniContainer;
  readonly previous?: CniResult | undefined;
  readonly signal: AbortSignal | undefined;
};

function parseResult(type: string, text: string): CniResult {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as CniResult;
    }
  } catch {
    // Reported below.
  }
  const said = JSON.stringify(text.slice(0, QUOTED_MAX));
  throw new SkeinError('network-failed', `CNI plugin ${type} answered no result: ${said}`);
}

/** The message of a CNI error object, or '' if the text is none. */
function reportedBy(output: string): string {
  try {
    const { msg, details } = JSON.parse(output) as { msg?: unknown; details?: unknown };
    return [msg, details].filter((part) => typeof part === 'string' && part !== '').join(': ');
  } catch {
    return '';
  }
}

type RunOptions = {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
};

/** One run of one plugin. */
class PluginRun {
  readonly #options: RunOptions;
  #output = '';
  #errors = '';

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** Resolves with what the plugin printed; rejects with the error it reports. */
  run(input: string): Promise<string> {
    const { program, env, deadlineMs, signal } = this.#options;
    if (signal?.aborted) return Promise.reject(abortError(signal));
    return new Promise((resolve, reject) => {
      // A process group of its own: a plugin's helpers (ipam plugins) end with it.
      const child = spawn(program, [], { env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
      const settle = (outcome: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        outcome();
      };
      const end = (error: SkeinError): void => {
        killGroup(child.pid);
        // Not awaited: a helper that left the group may hold the pipes open for as long as it likes.
        child.stdout.destroy();
        child.stderr.destroy();
        settle(() => reject(error));
      };
      const onAbort = () => signal && end(abortError(signal));
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(
        () => end(this.#failure(`it did not end within ${deadlineMs / 1000} s`)),
        deadlineMs,
      );
      child.stdout.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString('utf8');
        if (this.#output.length > OUTPUT_BYTES_MAX) end(this.#failure('it prints without end'));
      });
      child.stderr.on('data', (chunk: Buffer) => {
        this.#errors = (this.#errors + chunk.toString('utf8')).slice(-QUOTED_MAX);
      });
      child.stdin.on('error', () => {}); // A plugin that ends early says why on its output.
      child.once('error', (cause) => settle(() => reject(this.#failure(messageOf(cause), cause))));
      child.once('close', (code, killedBy) => {
        const said = reportedBy(this.#output) || this.#errors.trim();
        if (code === 0) settle(() => resolve(this.#output));
        else settle(() => reject(this.#failure(said || `it ended with ${killedBy ?? code}`)));
      });
      child.stdin.end(input);
    });
  }

  #failure(what: string, cause?: unknown): SkeinError {
    const text = `CNI plugin ${this.#options.program}: ${what}`;
    return new SkeinError('network-failed', text, { retryable: true, cause });
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
