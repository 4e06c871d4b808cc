/**
 * What one node is told from outside. Each setting is a flag, an environment variable and a key of the
 * YAML file, looked up in that order; a bad value is refused with the name under which it was given.
 */

import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { messageOf, SkeinError } from '../lib/errors.ts';
import {
  flagOf,
  type NodeConfig,
  SETTING_KEYS,
  SETTINGS,
  type SettingKey,
  variableOf,
} from './settings.ts';

export type ConfigSources = {
  readonly flags: Readonly<Partial<Record<SettingKey, unknown>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Keys of the YAML file and its name for messages. */
  readonly file?: { readonly path: string; readonly values: Readonly<Record<string, unknown>> };
};

type Given = { readonly name: string; readonly value: unknown };

/** The configuration, and which settings were given rather than defaulted. Throws config-invalid. */
export function resolveConfig(sources: ConfigSources): {
  readonly config: NodeConfig;
  readonly given: ReadonlySet<SettingKey>;
} {
  const { flags, environment, file } = sources;
  for (const key of Object.keys(file?.values ?? {})) {
    if (Object.hasOwn(SETTINGS, key)) continue;
    throw new SkeinError(
      'config-invalid',
      `${file?.path}: unknown key "${key}"; known keys are ${SETTING_KEYS.join(', ')}`,
    );
  }
  const given = new Set<SettingKey>();
  const config: Record<string, unknown> = {};
  for (const key of SETTING_KEYS) {
    const variable = environment[variableOf(key)];
    const candidates: Given[] = [
      { name: flagOf(key), value: flags[key] },
      // An empty variable is one that nobody set: that is how unit files and shells unset them.
      { name: variableOf(key), value: variable === '' ? undefined : variable },
      { name: `${file?.path}: ${key}`, value: file?.values[key] },
    ];
    const chosen = candidates.find(({ value }) => value !== undefined);
    if (chosen) given.add(key);
    const fallback = { name: `${flagOf(key)} (its default)`, value: SETTINGS[key].fallback() };
    config[key] = readSetting(key, chosen ?? fallback);
  }
  refuseContradictions(config as NodeConfig);
  return { config: config as NodeConfig, given };
}

function readSetting(key: SettingKey, { name, value }: Given): unknown {
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

/** Settings that are well by themselves and cannot hold together. */
function refuseContradictions(config: NodeConfig): void {
  const { apiPort, meshPort, clusterCidr, serviceCidr } = config;
  if (apiPort === meshPort) {
    const flags = `${flagOf('apiPort')} and ${flagOf('meshPort')}`;
    throw new SkeinError('config-invalid', `${flags}: expected two ports, got ${apiPort} for both`);
  }
  if (overlap(clusterCidr, serviceCidr)) {
    const flags = `${flagOf('clusterCidr')} and ${flagOf('serviceCidr')}`;
    throw new SkeinError(
      'config-invalid',
      `${flags}: expected ranges that do not overlap, got ${clusterCidr} and ${serviceCidr}`,
    );
  }
}

/** True if two IPv4 ranges share an address. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [boundsOf(one), boundsOf(other)];
  return a.first <= b.last && b.first <= a.last;
}

function boundsOf(cidr: string): { readonly first: number; readonly last: number } {
  const [address = '', bits = ''] = cidr.split('/');
  const first = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  return { first, last: first + 2 ** (32 - Number(bits)) - 1 };
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
