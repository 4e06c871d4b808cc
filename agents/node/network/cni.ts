/**
 * CNI configurations. They come from the CNI directory when an administrator put one there, else from us: `ptp` with
 * `host-local`. With ptp every packet between pods passes the node's own stack, so that service translation and
 * later policies see it without the bridge-netfilter module.
 */

import { readdir, readFile } from 'node:fs/promises';
import { messageOf, SkeinError } from '../../../src/lib/errors.ts';

export type CniPlugin = { readonly type: string; readonly [key: string]: unknown };
export type CniConfig = {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly CniPlugin[];
};
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

/**
 * The first configuration of `directory` in the order of names, or undefined when it has none. Throws config-invalid with the
 * file's name when it is none.
 */
export async function readConfig(directory: string): Promise<CniConfig | undefined> {
  const names = (await readdir(directory).catch(() => [])).sort();
  const name = names.find((candidate) => /\.(conflist|conf|json)$/.test(candidate));
  if (name === undefined) return undefined;
  const path = `${directory}/${name}`;
  try {
    return parseConfig(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new SkeinError('config-invalid', `${path} is no CNI configuration: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** A list of plugins, or a single plugin as the list of one that it stands for. Throws an Error that says what is missing. */
export function parseConfig(value: unknown): CniConfig {
  const { name, cniVersion, plugins, type } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || name === '') throw new Error('it has no "name"');
  if (typeof cniVersion !== 'string' || cniVersion === '')
    throw new Error('it has no "cniVersion"');
  const list: unknown = plugins ?? (type === undefined ? undefined : [value]);
  if (!Array.isArray(list) || list.length === 0)
    throw new Error('it has neither "plugins" nor "type"');
  for (const plugin of list as Record<string, unknown>[]) {
    if (typeof plugin?.['type'] !== 'string') throw new Error('a plugin has no "type"');
    // The type names a program below the plugin directories, and nothing else.
    if (!/^[\w.-]+$/.test(plugin['type'])) throw new Error(`"${plugin['type']}" names no plugin`);
  }
  return { name, cniVersion, plugins: list as CniPlugin[] };
}
