/**
 * What one node is told from outside. Each setting is a flag, an environment variable and a key of the
 * YAML file, looked up in that order; a bad value is refused with the name under which it was given.
 */

import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { parse } from 'yaml';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { LogLevel } from '../lib/logger.ts';

export type NodeConfig = {
  readonly dataDir: string;
  readonly nodeName: string;
  /** Address under which other nodes and clients reach this one. */
  readonly advertiseAddress: string;
  readonly bindAddress: string;
  readonly apiPort: number;
  readonly meshPort: number;
  readonly dockerSocket: string;
  readonly cniBinDirs: readonly string[];
  readonly cniConfDir: string;
  /** Of the whole cluster; settled when it is made. */
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly podNetwork: 'vxlan' | 'auto';
  readonly defaultTolerationSeconds: number;
  readonly votersMax: number;
  readonly imagePullFallback: 'local' | 'never';
  readonly logLevel: LogLevel;
};

type Setting = {
  readonly describe: string;
  /** Text shown as the default in the help; the default itself comes from `fallback`. */
  readonly shownDefault: string;
  readonly fallback: () => unknown;
  /** Turns a text or YAML value into the setting's value, or throws an Error that says what is expected. */
  readonly read: (value: unknown) => unknown;
};

const expected = (what: string): never => {
  throw new Error(`expected ${what}`);
};
const text = (value: unknown): string =>
  typeof value === 'string' && value !== '' ? value : expected('a non-empty text');
const path = (value: unknown): string =>
  text(value).startsWith('/') ? text(value) : expected('an absolute path');
const ipv4 = (value: unknown): string =>
  isIPv4(text(value)) ? text(value) : expected('an IPv4 address');
const whole =
  (min: number, max: number) =>
  (value: unknown): number => {
    const number = typeof value === 'number' ? value : Number(text(value));
    const fits = Number.isInteger(number) && number >= min && number <= max;
    return fits ? number : expected(`a whole number from ${min} to ${max}`);
  };
const oneOf =
  (...choices: readonly string[]) =>
  (value: unknown): string =>
    choices.includes(text(value)) ? text(value) : expected(`one of ${choices.join(', ')}`);
const paths = (value: unknown): string[] => {
  const list = Array.isArray(value) ? value : text(value).split(',');
  return list.map(path);
};
const nodeName = (value: unknown): string => {
  const rule = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
  const valid = rule.test(text(value));
  return valid ? text(value) : expected('lower-case letters, digits, dashes and dots (RFC 1123)');
};
const cidr =
  (minBits: number, maxBits: number) =>
  (value: unknown): string => {
    const [address = '', bits = ''] = text(value).split('/');
    const size = Number(bits);
    const fits = isIPv4(address) && Number.isInteger(size) && size >= minBits && size <= maxBits;
    if (!fits) return expected(`an IPv4 range like 10.244.0.0/16 of /${minBits} to /${maxBits}`);
    const number = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
    if (number % 2 ** (32 - size) !== 0) return expected('the first address of its range');
    return text(value);
  };

const votersMax = (value: unknown): number => {
  const number = whole(1, 5)(value);
  return number % 2 === 1 ? number : expected('1, 3 or 5: an even number of voters gains nothing');
};

/** The address of the interface that a machine's first non-loopback IPv4 belongs to. */
function defaultAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  return '127.0.0.1';
}

/** Every setting by its YAML key; the flag is the key in kebab-case, the variable SKEIN_ and upper case. */
export const SETTINGS = {
  dataDir: {
    describe: 'where this node keeps everything',
    shownDefault: '/var/lib/skein',
    fallback: () => '/var/lib/skein',
    read: path,
  },
  nodeName: {
    describe: "the node's name in the cluster",
    shownDefault: 'the host name',
    fallback: () => hostname().toLowerCase(),
    read: nodeName,
  },
  advertiseAddress: {
    describe: 'address under which other nodes and clients reach this one',
    shownDefault: 'the first address that is not loopback',
    fallback: defaultAddress,
    read: ipv4,
  },
  bindAddress: {
    describe: 'address to listen on',
    shownDefault: '0.0.0.0',
    fallback: () => '0.0.0.0',
    read: ipv4,
  },
  apiPort: {
    describe: 'TCP port of the Kubernetes API',
    shownDefault: '6443',
    fallback: () => 6443,
    read: whole(1, 65_535),
  },
  meshPort: {
    describe: 'TCP port of the mesh between nodes',
    shownDefault: '7946',
    fallback: () => 7946,
    read: whole(1, 65_535),
  },
  dockerSocket: {
    describe: "the Docker daemon's socket",
    shownDefault: '/var/run/docker.sock',
    fallback: () => '/var/run/docker.sock',
    read: path,
  },
  cniBinDirs: {
    describe: 'directories of CNI plugins, separated by commas',
    shownDefault: '/opt/cni/bin,/usr/lib/cni',
    fallback: () => ['/opt/cni/bin', '/usr/lib/cni'],
    read: paths,
  },
  cniConfDir: {
    describe: 'directory of CNI configurations; one found there replaces the built-in network',
    shownDefault: '/etc/cni/net.d',
    fallback: () => '/etc/cni/net.d',
    read: path,
  },
  clusterCidr: {
    describe: 'addresses of pods; settled when the cluster is made',
    shownDefault: '10.244.0.0/16',
    fallback: () => '10.244.0.0/16',
    read: cidr(8, 22),
  },
  serviceCidr: {
    describe: 'addresses of services; settled when the cluster is made',
    shownDefault: '10.96.0.0/16',
    fallback: () => '10.96.0.0/16',
    read: cidr(12, 24),
  },
  podNetwork: {
    describe: 'vxlan: always tunnel between nodes; auto: no tunnel to nodes on the same link',
    shownDefault: 'vxlan',
    fallback: () => 'vxlan',
    read: oneOf('vxlan', 'auto'),
  },
  defaultTolerationSeconds: {
    describe: 'how long pods stay bound to a node that is not ready, unless they say otherwise',
    shownDefault: '300',
    fallback: () => 300,
    read: whole(0, 86_400),
  },
  votersMax: {
    describe: 'most nodes that vote (1, 3 or 5); the others follow as learners',
    shownDefault: '5',
    fallback: () => 5,
    read: votersMax,
  },
  imagePullFallback: {
    describe: 'local: an image that is present is used when its registry cannot be reached; never',
    shownDefault: 'local',
    fallback: () => 'local',
    read: oneOf('local', 'never'),
  },
  logLevel: {
    describe: 'debug, info, warn or error',
    shownDefault: 'info',
    fallback: () => 'info',
    read: oneOf('debug', 'info', 'warn', 'error'),
  },
} as const satisfies Record<keyof NodeConfig, Setting>;

export type SettingKey = keyof NodeConfig;
export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];

/** `--data-dir` for dataDir. */
export const flagOf = (key: SettingKey): string =>
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** `SKEIN_DATA_DIR` for dataDir. */
export const variableOf = (key: SettingKey): string =>
  `SKEIN_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

export type ConfigSources = {
  readonly flags: Readonly<Partial<Record<SettingKey, unknown>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Keys of the YAML file and its name for messages. */
  readonly file?: { readonly path: string; readonly values: Readonly<Record<string, unknown>> };
};

/** The configuration, and which settings were given rather than defaulted. Throws config-invalid. */
export function resolveConfig(sources: ConfigSources): {
  readonly config: NodeConfig;
  readonly given: ReadonlySet<SettingKey>;
} {
  const { flags, environment, file } = sources;
  for (const key of Object.keys(file?.values ?? {})) {
    if (key in SETTINGS) continue;
    throw new SkeinError(
      'config-invalid',
      `${file?.path}: unknown key "${key}"; known keys are ${SETTING_KEYS.join(', ')}`,
    );
  }
  const given = new Set<SettingKey>();
  const config: Record<string, unknown> = {};
  for (const key of SETTING_KEYS) {
    const candidates = [
      { name: flagOf(key), value: flags[key] },
      { name: variableOf(key), value: environment[variableOf(key)] },
      { name: `${file?.path}: ${key}`, value: file?.values[key] },
    ];
    const chosen = candidates.find(({ value }) => value !== undefined);
    if (chosen) given.add(key);
    config[key] = chosen ? readSetting(key, chosen) : SETTINGS[key].fallback();
  }
  return { config: config as NodeConfig, given };
}

function readSetting(key: SettingKey, { name, value }: { name: string; value: unknown }): unknown {
  try {
    return SETTINGS[key].read(value);
  } catch (cause) {
    throw new SkeinError(
      'config-invalid',
      `${name}: ${messageOf(cause)}, got ${JSON.stringify(value)}`,
      { cause },
    );
  }
}

/** Reads a YAML file of settings. Throws config-invalid with its name. */
export async function readConfigFile(file: string): Promise<NonNullable<ConfigSources['file']>> {
  let values: unknown;
  try {
    values = parse(await readFile(file, 'utf8')) ?? {};
  } catch (cause) {
    throw new SkeinError('config-invalid', `${file}: ${messageOf(cause)}`, { cause });
  }
  if (typeof values !== 'object' || Array.isArray(values)) {
    throw new SkeinError('config-invalid', `${file}: expected a map of settings`);
  }
  return { path: file, values: values as Record<string, unknown> };
}
