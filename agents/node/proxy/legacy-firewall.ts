/**
 * The kernel's older packet filter, which nftables neither shows nor changes. A Docker daemon uses it where `iptables` is the
 * legacy program. It is asked only where its tables are loaded, which most machines never do.
 */

import { readFile } from 'node:fs/promises';
import { runCommand } from '../../../src/lib/command.ts';
import type { LegacyFirewall } from './ports.ts';

const PROGRAM = 'iptables-legacy';
const LOADED_TABLES = '/proc/net/ip_tables_names';
/** Seconds to wait for another user of the tables. */
const WAIT = ['-w', '5'];
const CHAIN = 'DOCKER-USER';

/** The legacy tables of this process's network namespace. */
export function legacyFirewall(): LegacyFirewall {
  const run = (args: readonly string[]): Promise<string> => runCommand(PROGRAM, [...WAIT, ...args]);
  const rules = (clusterCidr: string, comment: string): string[][] =>
    ['-s', '-d'].map((side) => [
      CHAIN,
      side,
      clusterCidr,
      ...['-m', 'comment', '--comment', comment],
      ...['-j', 'ACCEPT'],
    ]);
  const has = (rule: readonly string[]): Promise<boolean> =>
    run(['-C', ...rule]).then(
      () => true,
      () => false,
    );
  return {
    async forward() {
      const tables = await readFile(LOADED_TABLES, 'utf8').catch(() => '');
      if (!tables.split('\n').includes('filter')) return undefined;
      const listed = await run(['-S']);
      return readForward(listed);
    },
    async admit(clusterCidr, comment) {
      for (const rule of rules(clusterCidr, comment)) {
        if (!(await has(rule))) await run(['-I', ...rule]);
      }
    },
    async withdraw(clusterCidr, comment) {
      for (const rule of rules(clusterCidr, comment)) {
        if (await has(rule)) await run(['-D', ...rule]);
      }
    },
  };
}

/** What `iptables -S` says of forwarded packets. Pure. */
export function readForward(listed: string): { drops: boolean; dockerUser: boolean } {
  const lines = new Set(listed.split('\n').map((line) => line.trim()));
  return { drops: lines.has('-P FORWARD DROP'), dockerUser: lines.has(`-N ${CHAIN}`) };
}
