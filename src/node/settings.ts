/**
 * The settings of a node: what each means, what values it takes, and what it is when nobody says. A reader turns a text or
 * YAML value into the setting's value, or throws an Error that says what is expected.
 */

import { isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import type { LogLevel } from '../lib/logger.ts';
import { defaultAddress } from './default-address.ts';
import { isNodeName, NODE_NAME_RULE } from './node-name.ts';
import { readPeerAddress } from './peer-address.ts';

export type NodeConfig = {
  readonly dataDir: string;
  readonly nodeName: string;
  /** Address under which other nodes and clients reach this one. */
  readonly advertiseAddress: string;
  readonly bindAddress: string;
  readonly apiPort: number;
  readonly meshPort: number;
  /** Multiaddrs at which members may be found, besides those that are known. */
  readonly peers: readonly string[];
  /** Whether to look for members on the local network when too few can be reached. */
  readonly localDiscovery: 'fallback' | 'off';
  readonly dockerSocket: string;
  readonly cniBinDirs: readonly string[];
  readonly cniConfDir: string;
  /** Of the whole cluster; settled when it is made. */
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Whether a new cluster seals its secrets on disk. */
  readonly secretsEncryption: boolean;
  readonly podNetwork: 'vxlan' | 'auto';
  readonly defaultTolerationSeconds: number;
  readonly votersMax: number;
  readonly reads: 'quorum' | 'lease';
  /** Machines that are likely to fail together have the same; empty: as the Node's label says. */
  readonly zone: string;
  /** How far back watches may resume and lists look, as far as the memory for it allows. */
  readonly historyMinutes: number;
  readonly historyMib: number;
  /** Objects of the whole cluster, as text. */
  readonly storeQuotaMib: number;
  /** Free disk space below which nothing new is stored; 0: no such limit. */
  readonly diskReserveMib: number;
  readonly imagePullFallback: 'local' | 'never';
  readonly logLevel: LogLevel;
};

export type SettingKey = keyof NodeConfig;

export type Setting = {
  readonly describe: string;
  /** Text shown as the default in the help; the default itself comes from `fallback`. */
  readonly shownDefault: string;
  readonly fallback: () => unknown;
  readonly read: (value: unknown) => unknown;
};

const PEERS_MAX = 16;
const CNI_DIRS_MAX = 16;

const expected = (what: string): never => {
  throw new Error(`expected ${what}`);
};
const text = (value: unknown): string =>
  typeof value === 'string' && value !== '' ? value : expected('a non-empty text');
const path = (value: unknown): string =>
  text(value).startsWith('/') ? text(value) : expected('an absolute path');
const ipv4 = (value: unknown): string =>
  isIPv4(text(value)) ? text(value) : expected('an IPv4 address');
const reachable = (value: unknown): string =>
  ipv4(value) === '0.0.0.0' ? expected('an address that other nodes can reach') : ipv4(value);
const whole =
  (min: number, max: number) =>
  (value: unknown): number => {
    const number = typeof value === 'number' ? value : Number(text(value).trim() || Number.NaN);
    const fits = Number.isInteger(number) && number >= min && number <= max;
    return fits ? number : expected(`a whole number from ${min} to ${max}`);
  };
const oneOf =
  (...choices: readonly string[]) =>
  (value: unknown): string =>
    choices.includes(text(value)) ? text(value) : expected(`one of ${choices.join(', ')}`);
const trueOrFalse = (value: unknown): boolean =>
  typeof value === 'boolean' ? value : oneOf('true', 'false')(value) === 'true';
/** A YAML list, or a text with commas. */
const list =
  <T>(max: number, item: (value: unknown) => T) =>
  (value: unknown): T[] => {
    const items: unknown[] = Array.isArray(value)
      ? value
      : text(value)
          .split(',')
          .map((part) => part.trim());
    return items.length > max ? expected(`at most ${max} values`) : items.map(item);
  };
const atLeastOne =
  <T>(read: (value: unknown) => T[]) =>
  (value: unknown): T[] => {
    const items = read(value);
    return items.length > 0 ? items : expected('at least one value');
  };
const nodeName = (value: unknown): string =>
  isNodeName(text(value)) ? text(value) : expected(NODE_NAME_RULE);
const cidr =
  (minBits: number, maxBits: number) =>
  (value: unknown): string => {
    const [address = '', bits = ''] = text(value).split('/');
    const size = /^\d+$/.test(bits) ? Number(bits) : Number.NaN;
    const fits = isIPv4(address) && size >= minBits && size <= maxBits;
    if (!fits) return expected(`an IPv4 range like 10.244.0.0/16 of /${minBits} to /${maxBits}`);
    const number = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
    if (number % 2 ** (32 - size) !== 0) return expected('the first address of its range');
    return text(value);
  };
const votersMax = (value: unknown): number => {
  const number = whole(1, 5)(value);
  return number % 2 === 1 ? number : expected('1, 3 or 5: an even number of voters gains nothing');
};

const zone = (value: unknown): string =>
  value === '' || /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(text(value))
    ? String(value)
    : expected('a value of a label: up to 63 letters, digits, "-", "_" and "."');

/** Every setting by its YAML key; the flag is the key in kebab-case, the variable SKEIN_ and upper case. */
export const SETTINGS = {
  dataDir: {
    describe: 'where this node keeps everything',
    shownDefault: '/var/lib/skein',
    fallback: () => '/var/lib/skein',
    read: path,
  },
  nodeName: {
    describe: "the node's name in the cluster; settled when it joins",
    shownDefault: 'the host name',
    fallback: () => hostname().toLowerCase(),
    read: nodeName,
  },
  advertiseAddress: {
    describe: 'address under which other nodes and clients reach this one; may change',
    shownDefault: "the address of the default route's interface",
    fallback: defaultAddress,
    read: reachable,
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
  peers: {
    describe:
      'where members may be found besides their last known addresses, separated by commas: host, host:port or a multiaddr; one of them is enough. Needed when all nodes changed their addresses at once and share no local network',
    shownDefault: 'none',
    fallback: () => [],
    read: list(PEERS_MAX, readPeerAddress),
  },
  localDiscovery: {
    describe:
      'fallback: when a majority of the members cannot be reached for some seconds, call the others by multicast (UDP port 7946); off',
    shownDefault: 'fallback',
    fallback: () => 'fallback',
    read: oneOf('fallback', 'off'),
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
    read: atLeastOne(list(CNI_DIRS_MAX, path)),
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
  secretsEncryption: {
    describe:
      'seal secrets in log, snapshots and backups; settled when the cluster is made, changed with: skein secrets',
    shownDefault: 'true',
    fallback: () => true,
    read: trueOrFalse,
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
  reads: {
    describe:
      'quorum: the leader asks a majority before each read; lease: it answers at once while a majority promised to wait for it, and a leader that dies is replaced up to 300 ms later; not for machines that may be frozen with all their clocks',
    shownDefault: 'quorum',
    fallback: () => 'quorum',
    read: oneOf('quorum', 'lease'),
  },
  zone: {
    describe:
      "rack, room or site: votes are spread over zones; kept as the Node's label topology.kubernetes.io/zone",
    shownDefault: 'what the label says, if anything',
    fallback: () => '',
    read: zone,
  },
  historyMinutes: {
    describe: 'how long past changes are kept, for watches to resume from',
    shownDefault: '10',
    fallback: () => 10,
    read: whole(1, 1440),
  },
  historyMib: {
    describe: 'most memory for past changes, in MiB; the oldest go first',
    shownDefault: '64',
    fallback: () => 64,
    read: whole(1, 4096),
  },
  storeQuotaMib: {
    describe:
      "most MiB that the cluster's objects may take together; beyond it nothing new is stored until something is deleted; the same on every node",
    shownDefault: '2048',
    fallback: () => 2048,
    read: whole(16, 65_536),
  },
  diskReserveMib: {
    describe:
      'free disk space, in MiB, below which this node accepts nothing new and does not care to lead; 0: no limit',
    shownDefault: '128',
    fallback: () => 128,
    read: whole(0, 1_048_576),
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
} as const satisfies Record<SettingKey, Setting>;

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];

/** `--data-dir` for dataDir. */
export const flagOf = (key: SettingKey): string =>
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** `SKEIN_DATA_DIR` for dataDir. */
export const variableOf = (key: SettingKey): string =>
  `SKEIN_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
