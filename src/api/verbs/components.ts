/** What every verb needs, and the options of the whole. */

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Random } from '../../lib/random.ts';
import type { ResourceKind } from '../../resources/types.ts';
import type { Store } from '../../store/types.ts';
import type { TokenIssuer } from '../types.ts';
import type { BookmarkSchedule } from './bookmarks.ts';
import type { WakeQueue } from './wake-queue.ts';

export type VerbsComponents = {
  readonly store: Store;
  readonly kinds: readonly ResourceKind[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Absent: serviceaccounts/token answers that tokens are not issued here. */
  readonly tokens?: TokenIssuer;
};

export type VerbsOptions = {
  /** Addresses of Services, IPv4. Default 10.96.0.0/16. */
  readonly serviceCidr?: string;
  /** Default 30000 to 32767. */
  readonly nodePorts?: { readonly first: number; readonly last: number };
  /**
   * Seconds that a pod without own tolerations stays on a node not ready or unreachable. Default
   * 300.
   */
  readonly evictionTolerationSeconds?: number;
  /**
   * Give pods the volume with a service account token, the cluster CA and the namespace, as
   * upstream does. Default false.
   */
  readonly mountServiceAccountTokens?: boolean;
  /** Longest time a write may take. Default 10 s. */
  readonly writeDeadlineMs?: number;
};

/** Options with the defaults filled in. */
export type VerbsSettings = Required<VerbsOptions>;

export function settingsOf(options: VerbsOptions): VerbsSettings {
  return {
    serviceCidr: options.serviceCidr ?? '10.96.0.0/16',
    nodePorts: options.nodePorts ?? { first: 30_000, last: 32_767 },
    evictionTolerationSeconds: options.evictionTolerationSeconds ?? 300,
    mountServiceAccountTokens: options.mountServiceAccountTokens ?? false,
    writeDeadlineMs: options.writeDeadlineMs ?? 10_000,
  };
}

/** The service of one process: components, settings and the declared kinds by name. */
export type VerbsContext = VerbsComponents & {
  readonly settings: VerbsSettings;
  /** Shared by all watches. */
  readonly wakeQueue: WakeQueue;
  readonly bookmarks: BookmarkSchedule;
  /** By the kind's name: `Pod`. */
  kindNamed(name: string): ResourceKind | undefined;
};

/** The present time as objects carry it. */
export function nowIso(clock: Clock): string {
  return `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`;
}
