/** The admission plugins in the order in which they run. */

import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { podDefaults } from './pod-defaults.ts';
import { podPriority } from './pod-priority.ts';
import { podServiceAccount } from './pod-service-account.ts';
import { serviceAllocation } from './service-allocation.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

const PLUGINS: readonly AdmissionPlugin[] = [
  namespaceLifecycle,
  podServiceAccount,
  podPriority,
  podDefaults,
  serviceAllocation,
];

/** Runs every plugin that handles the request; the first refusal ends it. */
export async function admit(request: AdmissionRequest): Promise<void> {
  for (const plugin of PLUGINS) {
    if (!plugin.handles(request.target, request.operation)) continue;
    const done = plugin.admit(request);
    if (done !== undefined) await done;
  }
}
