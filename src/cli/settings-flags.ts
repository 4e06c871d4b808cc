/** Commands that take the settings of a node: every one as a flag, a variable or a key of the configuration file. */

import { access } from 'node:fs/promises';
import type { Command } from 'commander';
import { readConfigFile, resolveConfig } from '../node/config.ts';
import { flagOf, SETTING_KEYS, SETTINGS, type SettingKey, variableOf } from '../node/settings.ts';

export type SettingFlags = Partial<Record<SettingKey, string>> & { readonly config?: string };

const DEFAULT_CONFIG_FILE = '/etc/skein/config.yaml';

/** Adds a flag per setting to a command, and --config. */
export function withSettings(command: Command): Command {
  command.option(
    '--config <file>',
    `YAML file of settings [SKEIN_CONFIG] (default: ${DEFAULT_CONFIG_FILE} if it exists)`,
  );
  for (const key of SETTING_KEYS) {
    const { describe, shownDefault } = SETTINGS[key];
    const about = `${describe} [${variableOf(key)}] (default: ${shownDefault})`;
    command.option(`${flagOf(key)} <value>`, about);
  }
  return command.addHelpText(
    'after',
    '\nA flag wins over its variable, and that over the file, whose keys are named as in dataDir for --data-dir.',
  );
}

/** The configuration that flags, environment and file make. Throws config-invalid. */
export async function loadConfig(flags: SettingFlags): Promise<ReturnType<typeof resolveConfig>> {
  const { config, ...settings } = flags;
  const named = config ?? (process.env['SKEIN_CONFIG'] || undefined);
  const path = named ?? ((await exists(DEFAULT_CONFIG_FILE)) ? DEFAULT_CONFIG_FILE : undefined);
  return resolveConfig({
    flags: settings,
    environment: process.env,
    ...(path === undefined ? {} : { file: await readConfigFile(path) }),
  });
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
