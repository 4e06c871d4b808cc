/** LiveObjects on the local replica: a token's account and bound object as the store knows them. */

import type { KubeObject } from '../../resources/types.ts';
import type { StoreReader } from '../../store/types.ts';
import type { LiveObjects } from './service-account-tokens.ts';

const PREFIXES = {
  ServiceAccount: '/core/serviceaccounts/',
  Pod: '/core/pods/',
  Secret: '/core/secrets/',
  Node: '/core/nodes/',
} as const;

/** Reads uids from `store`; objects that are being deleted do not count as live, except pods in their grace period. */
export function createLiveObjects(store: Pick<StoreReader, 'get'>): LiveObjects {
  return {
    uidOf(kind, namespace, name) {
      const found = store.get(`${PREFIXES[kind]}${namespace}/${name}`);
      if (found === undefined) return undefined;
      const { metadata } = found.object as KubeObject;
      // A terminating pod still reports and cleans up with its token until it is gone.
      if (metadata.deletionTimestamp !== undefined && kind !== 'Pod') return undefined;
      return metadata.uid;
    },
  };
}
