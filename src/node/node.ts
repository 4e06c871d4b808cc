/**
 * One node, put together. Order of start: what stands on nothing first (mesh, log, store), then the API, then the
 * agents that use it; stop is the reverse, after leadership was handed over. Nothing here waits for a quorum: a node that comes
 * up alone keeps its pods and services running and finds the others when they return.
 */

import { VERSION } from '../cli/version.ts';
import { systemClock } from '../lib/clock.ts';
import { forbidCoreDumps } from '../lib/core-dumps.ts';
import { messageOf, type SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { createMetrics } from '../lib/metrics.ts';
import { entropyRandom } from '../lib/random.ts';
import { checkSocketPath } from './control-server.ts';
import { dataPaths, takeDataDir, unusable } from './data-dir.ts';
import { type Foundation, layFoundation } from './foundation.ts';
import { checkPorts } from './free-ports.ts';
import { startMembership } from './membership.ts';
import { checkPrerequisites } from './prerequisites.ts';
import { releaseStartupMemory } from './release-memory.ts';
import { clearRemains } from './remains.ts';
import { type Shared, startServices } from './services.ts';
import type { NodeConfig, SettingKey } from './settings.ts';
import { StopList } from './stop-list.ts';

export type StartOptions = {
  /** Settings that were given rather than defaulted. */
  readonly given: ReadonlySet<SettingKey>;
  /** Join the cluster of this token at first start. */
  readonly token?: string;
  readonly log: Logger;
  /** Fires when the node is told to stop while it starts. */
  readonly signal: AbortSignal;
};

export interface RunningNode {
  /** Resolves with the reason when the node cannot go on; if it was removed, after it has stopped and cleared its containers. */
  readonly failed: Promise<Error>;
  /** Hands leadership over, stops in order, leaves containers, routes and rules as they are. */
  stop(): Promise<void>;
}

const HANDOVER_DEADLINE_MS = 3000;
/** When the burst of work of a start is over. */
const SETTLED_MS = 5000;

/**
 * Starts a node. Rejects with config-invalid, prerequisite-missing, not-admitted, data-damaged, disk-failed or
 * aborted; everything that was started is stopped again then.
 */
export async function startNode(config: NodeConfig, options: StartOptions): Promise<RunningNode> {
  const { log, signal } = options;
  if (!forbidCoreDumps()) log.warn({}, 'a crash may leave a core file, with secrets in it');
  await checkPrerequisites(config);
  const shared: Shared = {
    clock: systemClock,
    random: entropyRandom(),
    log,
    metrics: createMetrics(),
  };
  const failed = Promise.withResolvers<Error>();
  const stops = new StopList(log, shared.clock);
  const removal = new AbortController();
  const onRemoved = (error: SkeinError) => removal.abort(error);
  const endAsRemoved = async (): Promise<void> => {
    log.error({ error: removal.signal.reason }, 'the cluster has removed this node');
    await stops.run();
    await clearRemains(config, log);
  };
  try {
    const either = AbortSignal.any([signal, removal.signal]);
    const { resolve: onFatal } = failed;
    await start(config, { ...options, signal: either, shared, stops, onRemoved, onFatal });
    either.throwIfAborted();
  } catch (error) {
    if (removal.signal.aborted) await endAsRemoved();
    else await stops.run();
    throw unusable(config.dataDir, error);
  }
  removal.signal.addEventListener('abort', () => {
    void endAsRemoved().finally(() => failed.resolve(removal.signal.reason));
  });
  const settled = shared.clock.after(SETTLED_MS, () => releaseStartupMemory(log));
  stops.add('start-up memory', async () => settled.cancel());
  log.info({ api: `https://${config.advertiseAddress}:${config.apiPort}` }, 'the node is up');
  return { failed: failed.promise, stop: () => stops.run() };
}

type Starting = StartOptions & {
  readonly shared: Shared;
  readonly stops: StopList;
  readonly onRemoved: (error: SkeinError) => void;
  readonly onFatal: (error: Error) => void;
};

async function start(config: NodeConfig, starting: Starting): Promise<void> {
  const { shared, stops, signal, given, token, onRemoved, onFatal } = starting;
  const paths = dataPaths(config.dataDir);
  checkSocketPath(paths.socket);
  const lock = await takeDataDir(paths.root);
  stops.add('data directory', () => lock.release());
  await checkPorts(config);
  const foundation = await layFoundation(
    {
      ...shared,
      signal,
      onFatal: (error) => {
        const cause = unusable(config.dataDir, error);
        onFatal(cause instanceof Error ? cause : new Error(messageOf(cause)));
      },
    },
    { config, given, paths, token, version: VERSION },
  );
  stops.add('mesh', () => foundation.mesh.stop());
  stops.add('consensus', () => foundation.consensus.stop());
  stops.add('disk space', async () => foundation.diskRoom.stop());
  const membership = startMembership({
    ...shared,
    foundation,
    config,
    paths,
    onRemoved,
    onFatal,
  });
  stops.add('membership', () => membership.stop());
  await startServices({ foundation, config, paths, shared, stops, signal });
  // First of all when the node stops: while it still serves, nobody has to wait for an election.
  stops.add('leadership', () => handOver(foundation, shared));
}

/** A leader that stops on purpose names its successor. */
async function handOver({ consensus }: Foundation, { clock, log }: Shared): Promise<void> {
  const { role, confState } = consensus.status();
  if (role !== 'leader' || confState.voters.length < 2) return;
  const late = Promise.withResolvers<void>();
  const timer = clock.after(HANDOVER_DEADLINE_MS, late.resolve);
  const handedOver = consensus.transferLeadership().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'leadership could not be handed over');
  });
  await Promise.race([handedOver, late.promise]);
  timer.cancel();
}
