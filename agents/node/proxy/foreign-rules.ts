/**
 * Living with other users of the firewall. Docker sets the machine's forward policy to drop; a packet
 * must pass every table, so pods would be cut off. Docker leaves one chain to the administrator,
 * DOCKER-USER: there, and nowhere else outside our own table, the cluster's pods are admitted. Any other
 * forward chain with a drop policy is reported.
 */

import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { LegacyFirewall, Nftables, NftObject } from './ports.ts';
import { TABLE } from './ruleset.ts';

/** Marks our two rules in Docker's chain. */
export const COMMENT = 'skein pods';

export type ForeignForward = {
  /** Forward chains of others that drop by policy: `ip filter FORWARD`. */
  readonly dropping: readonly string[];
  /** Whether Docker's chain for administrators exists. */
  readonly dockerUser: boolean;
};

export type AdmissionDeps = {
  readonly nftables: Nftables;
  /** Rules of the older kernel interface, which nftables does not show. Default: there are none. */
  readonly legacy?: LegacyFirewall;
  readonly log: Logger;
  /** Told of what stands in the way and cannot be helped, once per finding. Default: nobody. */
  readonly report?: (message: string) => void;
};

export interface ForwardAdmission {
  /** Admits the pods' traffic where that is safe, and reports what else stands in the way. Never rejects. */
  check(): Promise<void>;
  /** Removes what `check` added. */
  withdraw(): Promise<void>;
}

/** What other users of nftables do with forwarded packets. Pure. */
export function findForeignForward(objects: readonly NftObject[]): ForeignForward {
  const dropping: string[] = [];
  let dockerUser = false;
  for (const { chain } of objects) {
    if (!chain || chain['table'] === TABLE) continue;
    const name = `${chain['family']} ${chain['table']} ${chain['name']}`;
    if (name === 'ip filter DOCKER-USER') dockerUser = true;
    if (chain['hook'] === 'forward' && chain['policy'] === 'drop') dropping.push(name);
  }
  return { dropping, dockerUser };
}

/** Cares for the packets from and to `clusterCidr`. */
export function forwardAdmission(deps: AdmissionDeps, clusterCidr: string): ForwardAdmission {
  const { nftables, legacy, log, report } = deps;
  let reported = '';

  const inNftables = async (): Promise<readonly string[]> => {
    const { dropping, dockerUser } = findForeignForward((await nftables.list('chains')).nftables);
    if (dockerUser) await admitInDockerUser(nftables, clusterCidr);
    return dropping.filter((name) => !(dockerUser && name === 'ip filter FORWARD'));
  };
  const inLegacy = async (): Promise<readonly string[]> => {
    const found = await legacy?.forward();
    if (found?.dockerUser) await legacy?.admit(clusterCidr, COMMENT);
    return found?.drops && !found.dockerUser ? ['iptables-legacy filter FORWARD'] : [];
  };

  return {
    async check() {
      try {
        const others = [...(await inNftables()), ...(await inLegacy())];
        const finding = others.join(', ');
        if (finding !== '' && finding !== reported) {
          const text = `another firewall drops forwarded packets by policy (${finding}): pods on different nodes may not reach each other; admit the pod network ${clusterCidr} there`;
          log.warn({ chains: others }, text);
          report?.(text);
        }
        reported = finding;
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'the rules of other firewalls could not be read');
      }
    },
    async withdraw() {
      const { dockerUser } = findForeignForward((await nftables.list('chains')).nftables);
      if (dockerUser) {
        const handles = (await ourRules(nftables)).map((rule) => String(rule['handle']));
        const lines = handles.map((handle) => `delete rule ip filter DOCKER-USER handle ${handle}`);
        if (lines.length > 0) await nftables.run(lines.join('\n'));
      }
      if ((await legacy?.forward())?.dockerUser) await legacy?.withdraw(clusterCidr, COMMENT);
    },
  };
}

async function ourRules(nftables: Nftables): Promise<Readonly<Record<string, unknown>>[]> {
  const { nftables: objects } = await nftables.list('chain ip filter DOCKER-USER');
  return objects.flatMap(({ rule }) => (rule?.['comment'] === COMMENT ? [rule] : []));
}

async function admitInDockerUser(nftables: Nftables, clusterCidr: string): Promise<void> {
  if ((await ourRules(nftables)).length > 0) return;
  await nftables.run(
    [
      `insert rule ip filter DOCKER-USER ip saddr ${clusterCidr} accept comment "${COMMENT}"`,
      `insert rule ip filter DOCKER-USER ip daddr ${clusterCidr} accept comment "${COMMENT}"`,
    ].join('\n'),
  );
}
