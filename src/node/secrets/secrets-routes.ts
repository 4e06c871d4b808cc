/** The part of the control socket behind `skein secrets`. */

import { SkeinError } from '../../lib/errors.ts';
import type { ClusterKey } from '../../sealing/cluster-key.ts';
import type { ControlRoutes } from '../control-server.ts';
import type { SecretsAtRest } from './secrets-at-rest.ts';

const ACTIONS = ['rotate', 'enable', 'disable'] as const;

export function secretsRoutes(secrets: SecretsAtRest, clusterKey: ClusterKey): ControlRoutes {
  return {
    'GET /secrets': () => secrets.status(),
    'POST /secrets': async ({ action, kinds }) => {
      const known = ACTIONS.find((candidate) => candidate === action);
      const named = Array.isArray(kinds) && kinds.every((kind) => typeof kind === 'string');
      if (known === undefined || !(named || kinds === undefined)) {
        throw new SkeinError('config-invalid', 'the request cannot be read');
      }
      await secrets.change({ action: known, ...(named ? { kinds } : {}) });
      return secrets.status();
    },
    'GET /secrets/key': () => ({ key: clusterKey.toText() }),
  };
}
