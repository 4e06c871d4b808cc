/**
 * One node, put together. Order of start: what stands on nothing first (mesh, log, store), then the API, then the
 * agents that use it; stop is the reverse. Nothing here waits for a quorum: a node that comes up alone keeps
 * its pods and services running and finds the others when they return.
 */

import type { PodsAgent } from '../../agents/node/pods/agent.ts';
import { createActorSystem } from '../actors/system.ts';
import type { ActorSystem } from '../actors/types.ts';
import type { ApiServer } from '../api/http/server.ts';
import { VERSION } from '../cli/version.ts';
import type { LocalClient } from '../client/local-client.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { createMetrics, type Registry } from '../lib/metrics.ts';
import { entropyRandom, type Random } from '../lib/random.ts';
import { remoteContainerStreams } from '../mesh/container-client.ts';
import { serveContainerStreams } from '../mesh/container-server.ts';
import { serveJoin } from '../mesh/join.ts';
import { startApi } from './api-server.ts';
import { adminKubeconfig } from './certificates.ts';
import { startClusterAgents } from './cluster-agents.ts';
import type { NodeConfig, SettingKey } from './config.ts';
import { controlRoutes } from './control-routes.ts';
import { type ControlServer, serveControl } from './control-server.ts';
import { dataPaths, ensureDataDir, writePrivateFile } from './data-dir.ts';
import { type Foundation, layFoundation } from './foundation.ts';
import { NodeHealthChecks } from './health.ts';
import { startHeartbeats } from './heartbeats.ts';
import { acceptJoin } from './join-grant.ts';
import { tokenSecret } from './join-tokens.ts';
import { memberOfNode } from './members.ts';
import { startMembership } from './membership.ts';
import { createNodeNetwork } from './node-network.ts';
import { startNodePods } from './node-pods.ts';
import { checkPrerequisites } from './prerequisites.ts';

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
  /** Resolves with the reason when the node cannot go on. */
  readonly failed: Promise<Error>;
  /** Hands leadership over, stops in order, leaves containers, routes and rules as they are. */
  stop(): Promise<void>;
}

const HANDOVER_DEADLINE_MS = 3000;

type Shared = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Registry;
};

/** Starts a node. Rejects with config-invalid, prerequisite-missing, not-admitted or data-damaged. */
export async function startNode(config: NodeConfig, options: StartOptions): Promise<RunningNode> {
  const { log } = options;
  await checkPrerequisites(config);
  const paths = dataPaths(config.dataDir);
  await ensureDataDir(paths.root);
  const shared: Shared = {
    clock: systemClock,
    random: entropyRandom(),
    log,
    metrics: createMetrics(),
  };
  const failed = Promise.withResolvers<Error>();
  const stops = new StopList(log);
  const stop = new AbortController();
  stops.add('signals', async () => stop.abort());
  const onFatal = (error: unknown) =>
    failed.resolve(error instanceof Error ? error : new Error(messageOf(error)));
  try {
    const foundation = await layFoundation(
      { ...shared, signal: options.signal, onFatal },
      { config, given: options.given, paths, token: options.token, version: VERSION },
    );
    stops.add('mesh', () => foundation.mesh.stop());
    stops.add('consensus', () => foundation.consensus.stop());
    stops.add('leadership', () => handOver(foundation, shared));
    startMembership({ foundation, config, paths, ...shared, signal: stop.signal });
    await startServices({ foundation, config, paths, shared, stops, stop: stop.signal });
    log.info({ api: `https://${config.advertiseAddress}:${config.apiPort}` }, 'the node is up');
    return { failed: failed.promise, stop: () => stops.run() };
  } catch (error) {
    await stops.run();
    throw error;
  }
}

type ServiceContext = {
  readonly foundation: Foundation;
  readonly config: NodeConfig;
  readonly paths: ReturnType<typeof dataPaths>;
  readonly shared: Shared;
  readonly stops: StopList;
  readonly stop: AbortSignal;
};

/** Everything above the store: API, actors, agents, joining, the control socket. */
async function startServices(context: ServiceContext): Promise<void> {
  const { foundation, config, paths, shared, stops, stop } = context;
  const { mesh, store, consensus, cluster } = foundation;
  const { log, clock } = shared;
  const health = new NodeHealthChecks(foundation, config);
  let pods: PodsAgent | undefined;
  const api = await startApi(
    {
      ...foundation,
      ...shared,
      health: health.checks,
      streamsFor: (pod) => {
        const { nodeName = '' } = pod.spec;
        if (nodeName === config.nodeName) return pods?.streams;
        const member = memberOfNode(store, nodeName);
        return member && remoteContainerStreams(mesh, member.peer);
      },
    },
    config,
    VERSION,
  );
  stops.add('api', () => stopApi(api.server, api.client));
  const actors: ActorSystem = createActorSystem({ ...shared, logger: log, remote: mesh });
  stops.add('actors', () => actors.shutdown());
  const network = createNodeNetwork(
    { client: api.client, clock, log, stateDir: paths.network },
    config,
    cluster,
  );
  stops.add('network', async () => network.stop());
  await network.start();
  pods = await startNodePods(
    { ...shared, client: api.client, actors, network: network.pods, paths },
    config,
  );
  stops.add('pods', () => pods?.stop() ?? Promise.resolve());
  health.watchPods(pods);
  serveContainerStreams(mesh, pods.streams);
  const clusterAgents = startClusterAgents(
    { ...shared, foundation, actors, client: api.client },
    config,
  );
  stops.add('cluster agents', () => clusterAgents.stop());
  const endHeartbeats = startHeartbeats(
    {
      ...foundation,
      clock,
      actors,
      readiness: () => health.reportedReadiness(),
    },
    config.nodeName,
  );
  stops.add('heartbeats', async () => endHeartbeats());
  const endJoin = serveJoin(mesh, {
    verify: (id) => tokenSecret(store, clock, id),
    accept: (request, from) => acceptJoin({ cluster, store, consensus, log }, from, request),
  });
  stops.add('joining', endJoin);
  const control: ControlServer = await serveControl(
    paths.socket,
    controlRoutes({
      foundation,
      config,
      clock,
      actors,
      version: VERSION,
      health: () => health.report(),
    }),
    log,
  );
  stops.add('control socket', () => control.close());
  const server = `https://${config.advertiseAddress}:${config.apiPort}`;
  await writePrivateFile(paths.adminKubeconfig, await adminKubeconfig(cluster, server));
  if (stop.aborted) throw stop.reason;
}

async function stopApi(server: ApiServer, client: LocalClient): Promise<void> {
  client.stop();
  await server.close();
}

/** A leader that stops on purpose names its successor: nobody waits for an election. */
async function handOver({ consensus }: Foundation, { clock, log }: Shared): Promise<void> {
  const { role, confState } = consensus.status();
  if (role !== 'leader' || confState.voters.length < 2) return;
  const deadline = new Promise<void>((resolve) => {
    clock.after(HANDOVER_DEADLINE_MS, resolve);
  });
  const handedOver = consensus.transferLeadership().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'leadership could not be handed over');
  });
  await Promise.race([handedOver, deadline]);
}

/** What must be undone, newest first; one failure does not keep the rest from running. */
class StopList {
  readonly #log: Logger;
  #entries: { readonly name: string; readonly stop: () => Promise<void> }[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, stop: () => Promise<void>): void {
    this.#entries.unshift({ name, stop });
  }

  async run(): Promise<void> {
    const entries = this.#entries;
    this.#entries = [];
    for (const { name, stop } of entries) {
      try {
        await stop();
      } catch (error) {
        this.#log.error({ error: messageOf(error), part: name }, 'a part could not be stopped');
      }
    }
  }
}
