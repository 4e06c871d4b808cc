/**
 * Living with other users of the firewall. Docker sets the machine's forward policy to drop; a packet
 * must pass every table, so pods would be cut off. Docker leaves one chain to the administrator,
 * DOCKER-USER: there, and nowhere else outside our own table, the cluster's pods are admitted. Any other
 * forward chain with a drop policy is reported.
 */

import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { Nftables, NftObject } from './ports.ts';
import { TABLE } from './ruleset.ts';

const COMMENT = 'skein pods';

type Found = { readonly foreign: readonly string[]; readonly dockerUser: boolean };

/** Forward chains of others that drop by policy, and whether Docker's chain for administrators exists. Pure. */
export function findForeignForward(objects: readonly NftObject[]): Found {
  const foreign: string[] = [];
  let dockerUser = false;
  for (const { chain } of objects) {
    if (!chain || chain['table'] === TABLE) continue;
    const name = `${chain['family']} ${chain['table']} ${chain['name']}`;
    if (name === 'ip filter DOCKER-USER') dockerUser = true;
    if (chain['hook'] === 'forward' && chain['policy'] === 'drop') foreign.push(name);
  }
  return { foreign, dockerUser };
}

/**
 * A function that admits the pods' traffic where that is safe, and logs what else stands in the way,
 * once per finding.
 */
export function forwardAdmission(
  deps: { readonly nftables: Nftables; readonly log: Logger },
  clusterCidr: string,
): () => Promise<void> {
  const { nftables, log } = deps;
  let reported = '';
  return async () => {
    try {
      const { foreign, dockerUser } = findForeignForward((await nftables.list('chains')).nftables);
      if (dockerUser) await admitInDockerUser(nftables, clusterCidr);
      const others = foreign.filter((name) => !(dockerUser && name === 'ip filter FORWARD'));
      const finding = others.join(', ');
      if (finding !== '' && finding !== reported) {
        log.warn(
          { chains: others },
          'another firewall drops forwarded packets by policy: pods on different nodes may not reach each other; admit the pod network there',
        );
      }
      reported = finding;
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the rules of other firewalls could not be read');
    }
  };
}

async function admitInDockerUser(nftables: Nftables, clusterCidr: string): Promise<void> {
  const { nftables: objects } = await nftables.list('chain ip filter DOCKER-USER');
  if (objects.some(({ rule }) => rule?.['comment'] === COMMENT)) return;
  await nftables.run(
    [
      `insert rule ip filter DOCKER-USER ip saddr ${clusterCidr} accept comment "${COMMENT}"`,
      `insert rule ip filter DOCKER-USER ip daddr ${clusterCidr} accept comment "${COMMENT}"`,
    ].join('\n'),
  );
}
