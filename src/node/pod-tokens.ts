/**
 * Service account tokens for this node's pods. They come from the API, which makes sure that account and pod are current. A
 * node that is cut off signs them itself, from what its replica holds: without their tokens its pods could not start again. Every
 * member has the key; whether account and pod still exist is looked at whenever a token is used.
 */

import type { ServiceAccountTokens } from '../../agents/node/pods/ports.ts';
import type { TokenIssuer } from '../api/types.ts';
import { isTransient } from '../client/errors.ts';
import type { Client } from '../client/types.ts';
import type { Logger } from '../lib/logger.ts';

export type PodTokenComponents = {
  readonly client: Pick<Client, 'requestToken' | 'informer'>;
  /** Signs with the cluster's key. */
  readonly issuer: TokenIssuer;
  readonly log: Logger;
};

/** The tokens of one node's pods. */
export function podTokens({ client, issuer, log }: PodTokenComponents): ServiceAccountTokens {
  // From the beginning, so that it is filled when it is needed.
  const accounts = client.informer('ServiceAccount');
  return {
    async create({ namespace, serviceAccount, ...request }) {
      try {
        return await client.requestToken({ namespace, name: serviceAccount }, request);
      } catch (error) {
        const uid = accounts.get({ namespace, name: serviceAccount })?.metadata.uid;
        if (!isTransient(error) || uid === undefined) throw error;
        const { pod, audiences, expirationSeconds } = request;
        const { token, expirationTimestamp } = await issuer.issue({
          namespace,
          serviceAccount,
          serviceAccountUid: uid,
          audiences,
          expirationSeconds,
          ...(pod ? { boundObject: { kind: 'Pod', ...pod } } : {}),
        });
        log.info({ namespace, serviceAccount, pod: pod?.name }, 'cut off: a token was signed here');
        return { token, expiresAtMs: Date.parse(expirationTimestamp) };
      }
    },
  };
}
