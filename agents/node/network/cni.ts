/**
 * Runs CNI plugins (specification 1.0.0): ADD in the order of the configuration, each plugin seeing the
 * result of the one before; DEL in reverse. Configurations come from the CNI directory when an
 * administrator put one there, else from us: `ptp` with `host-local`. With ptp every packet between pods
 * passes the node's own stack, so that service translation and later policies see it without the
 * bridge-netfilter module.
 */

import { spawn } from 'node:child_process';
import { access, readdir, readFile } from 'node:fs/promises';
import { SkeinError } from '../../../src/lib/errors.ts';

export type CniPlugin = { readonly type: string; readonly [key: string]: unknown };
export type CniConfig = {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly CniPlugin[];
};
export type CniResult = {
  readonly ips?: readonly { readonly address: string }[];
  readonly [key: string]: unknown;
};

export type CniContainer = {
  readonly containerId: string;
  readonly netnsPath: string;
  /** CNI_ARGS: K8S_POD_NAME and the like. */
  readonly args: Readonly<Record<string, string>>;
};

const CALL_DEADLINE_MS = 20_000;
const INTERFACE = 'eth0';

/** The configuration when nobody gave another: routes to everywhere through the node. */
export function defaultConfig(podCidr: string, mtu: number, stateDir: string): CniConfig {
  return {
    cniVersion: '1.0.0',
    name: 'skein',
    plugins: [
      {
        type: 'ptp',
        mtu,
        ipMasq: false,
        ipam: {
          type: 'host-local',
          dataDir: `${stateDir}/ipam`,
          ranges: [[{ subnet: podCidr }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
}

/** The first configuration of `directory` in the order of names, or undefined when it has none. */
export async function readConfig(directory: string): Promise<CniConfig | undefined> {
  const names = (await readdir(directory).catch(() => [])).sort();
  for (const name of names) {
    if (!/\.(conflist|conf|json)$/.test(name)) continue;
    const text = await readFile(`${directory}/${name}`, 'utf8');
    try {
      const config = JSON.parse(text) as
        | CniConfig
        | (CniPlugin & { name: string; cniVersion: string });
      if ('plugins' in config && Array.isArray(config.plugins)) return config as CniConfig;
      const { name: network, cniVersion } = config as { name: string; cniVersion: string };
      return { name: network, cniVersion, plugins: [config as CniPlugin] };
    } catch (cause) {
      throw new SkeinError('config-invalid', `${directory}/${name} is not valid JSON`, { cause });
    }
  }
  return undefined;
}

/** The directory of `candidates` that holds plugin `type`; throws prerequisite-missing when none does. */
export async function findPlugin(type: string, candidates: readonly string[]): Promise<string> {
  for (const directory of candidates) {
    const path = `${directory}/${type}`;
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new SkeinError(
    'prerequisite-missing',
    `the CNI plugin "${type}" is in none of ${candidates.join(', ')}; install it with: apt-get install containernetworking-plugins`,
  );
}

export type CniRunner = {
  add(config: CniConfig, container: CniContainer, signal?: AbortSignal): Promise<CniResult>;
  del(config: CniConfig, container: CniContainer, signal?: AbortSignal): Promise<void>;
};

/** Runs plugins found in `binDirs`, the first directory first. */
export function createCniRunner(binDirs: readonly string[]): CniRunner {
  const call = async (
    command: 'ADD' | 'DEL',
    options: {
      config: CniConfig;
      plugin: CniPlugin;
      container: CniContainer;
      previous?: CniResult | undefined;
      signal?: AbortSignal | undefined;
    },
  ): Promise<string> => {
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
    return runPlugin(program, JSON.stringify(input), { env, signal });
  };
  return {
    async add(config, container, signal) {
      let previous: CniResult | undefined;
      for (const plugin of config.plugins) {
        const text = await call('ADD', { config, plugin, container, previous, signal });
        previous = text.trim() === '' ? previous : (JSON.parse(text) as CniResult);
      }
      return previous ?? {};
    },
    async del(config, container, signal) {
      for (const plugin of [...config.plugins].reverse()) {
        await call('DEL', { config, plugin, container, signal });
      }
    },
  };
}

/** Starts a plugin with `input`; resolves with its output, rejects with the error it reports. */
function runPlugin(
  program: string,
  input: string,
  options: { readonly env: NodeJS.ProcessEnv; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [], {
      env: options.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: CALL_DEADLINE_MS,
      killSignal: 'SIGKILL',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString('utf8');
    });
    child.stdin.on('error', () => {}); // A plugin that ends early says why on its output.
    child.once('error', (cause) => {
      reject(
        new SkeinError('network-failed', `CNI plugin ${program}: ${cause.message}`, { cause }),
      );
    });
    child.once('close', (code, killedBy) => {
      if (code === 0) return resolve(output);
      const said = reportedBy(output) || errors.trim() || `ended with ${killedBy ?? code}`;
      reject(
        new SkeinError('network-failed', `CNI plugin ${program}: ${said}`, { retryable: true }),
      );
    });
    child.stdin.end(input);
  });
}

/** The message of a CNI error object, or '' if the text is none. */
function reportedBy(output: string): string {
  try {
    const error = JSON.parse(output) as { msg?: string; details?: string };
    return [error.msg, error.details].filter((part) => part).join(': ');
  } catch {
    return '';
  }
}
