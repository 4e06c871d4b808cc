/** What every pod actor of a node shares. */

import type { Client } from '../../../src/client/types.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { Checkpoints } from './checkpoint.ts';
import type { ClusterDns } from './etc-files.ts';
import type { EventRecorder } from './events.ts';
import type { FieldContext } from './fields.ts';
import type { Images } from './images.ts';
import type { Pod } from './kinds.ts';
import type { ContainerRuntime, Dialer, ObjectSource, PodNetwork } from './ports.ts';
import type { NodeSettings } from './requests.ts';
import type { RestartBackoffOptions } from './restart-backoff.ts';
import type { Slots } from './slots.ts';
import type { PodVolumes } from './volumes/volumes.ts';

export type PodServices = {
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly volumes: PodVolumes;
  readonly images: Images;
  readonly objects: ObjectSource;
  readonly dialer: Dialer;
  readonly client: Client;
  readonly events: EventRecorder;
  readonly checkpoints: Checkpoints;
  readonly slots: Slots;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: PodSettings;
};

export type PodSettings = NodeSettings & {
  /** The agent's directory on the node. */
  readonly root: string;
  readonly hostIPs: readonly string[];
  readonly allocatable: FieldContext['allocatable'];
  readonly sandboxImage: string;
  readonly backoff: RestartBackoffOptions;
  readonly clusterDns: ClusterDns | undefined;
  /** The node's own resolv.conf. */
  readonly resolvConfPath: string;
  readonly hostsPath: string;
};

/** The values that fieldRef and the downward API can see. */
export function fieldsOf(settings: PodSettings, pod: Pod, podIPs: readonly string[]): FieldContext {
  const { nodeName, hostIPs, allocatable } = settings;
  return { pod, nodeName, hostIPs, allocatable, podIPs };
}
