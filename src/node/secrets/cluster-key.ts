/** The key of this node's cluster, as its `cluster.json` has it. */

import { ClusterKey } from '../../sealing/cluster-key.ts';
import type { ClusterKeys } from '../data-dir.ts';

/** Of a cluster that is older than cluster keys it is derived, the same on every member. Throws config-invalid when it is mistyped. */
export function clusterKeyOf({ secretsKey, caKeyPem }: ClusterKeys): ClusterKey {
  return secretsKey === undefined
    ? ClusterKey.fromAuthority(caKeyPem)
    : ClusterKey.fromText(secretsKey);
}
