/** Everything of a node above the store: API, actors, agents, joining, the control socket. */

import type { PodsAgent } from '../../agents/node/pods/agent.ts';
import { createActorSystem } from '../actors/system.ts';
import { VERSION } from '../cli/version.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { remoteContainerStreams } from '../mesh/container-client.ts';
import { serveContainerStreams } from '../mesh/container-server.ts';
import { serveJoin } from '../mesh/join.ts';
import { startApi } from './api-server.ts';
import { startRenewal } from './certificate-renewal.ts';
import { adminKubeconfig } from './certificates.ts';
import { startClusterAgents } from './cluster-agents.ts';
import { controlRoutes } from './control-routes.ts';
import { serveControl } from './control-server.ts';
import { type DataPaths, writePrivateFile } from './data-dir.ts';
import type { Foundation } from './foundation.ts';
import { NodeHealthChecks } from './health.ts';
import { startHeartbeats } from './heartbeats.ts';
import { acceptJoin } from './join-grant.ts';
import { tokenSecret } from './join-tokens.ts';
import { memberOfNode } from './members.ts';
import { createNodeNetwork } from './node-network.ts';
import { startNodePods } from './node-pods.ts';
import { answers, removeNode } from './removal.ts';
import { SecretsAtRest } from './secrets/secrets-at-rest.ts';
import type { NodeConfig } from './settings.ts';
import type { StopList } from './stop-list.ts';

/** What every part is given. */
export type Shared = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Registry;
};

export type ServiceContext = {
  readonly foundation: Foundation;
  readonly config: NodeConfig;
  readonly paths: DataPaths;
  readonly shared: Shared;
  /** Each part is added as soon as it has to be stopped. */
  readonly stops: StopList;
  /** Fires when the node is told to stop while it starts. */
  readonly signal: AbortSignal;
};

/** Starts the services in their order: each uses only what is there before it. */
export async function startServices(context: ServiceContext): Promise<void> {
  const { foundation, config, paths, shared, stops, signal } = context;
  const { mesh, store, consensus, cluster } = foundation;
  const { log, clock } = shared;
  const secrets = new SecretsAtRest(
    { ...shared, ...foundation, sealing: foundation.state.sealing },
    { takeOver: config.secretsEncryption },
  );
  stops.add('secrets at rest', () => secrets.stop());
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
  stops.add('api', async () => {
    api.client.stop();
    await api.server.close();
  });
  const actors = createActorSystem({ ...shared, logger: log, remote: mesh });
  stops.add('actors', () => actors.shutdown());
  signal.throwIfAborted();
  const network = createNodeNetwork(
    { client: api.client, clock, log, stateDir: paths.network },
    config,
    cluster,
  );
  stops.add('network', async () => network.stop());
  await network.start();
  signal.throwIfAborted();
  const podsAgent = await startNodePods(
    { ...shared, ...api, ...foundation, actors, network: network.pods, paths, stops },
    config,
  );
  pods = podsAgent;
  health.watchPods(podsAgent);
  serveContainerStreams(mesh, podsAgent.streams);
  signal.throwIfAborted();
  const clusterAgents = startClusterAgents(
    { ...shared, foundation, actors, client: api.client },
    config,
  );
  stops.add('cluster agents', () => clusterAgents.stop());
  const readiness = () => health.reportedReadiness();
  const endHeartbeats = startHeartbeats(
    { ...foundation, clock, actors, readiness },
    config.nodeName,
  );
  stops.add('heartbeats', async () => endHeartbeats());
  const endJoin = serveJoin(mesh, {
    verify: (id) => tokenSecret(store, clock, id),
    accept: (request, from) => {
      const parts = { cluster, store, consensus, log, mesh, client: api.client };
      const remove = (node: string) => removeNode({ ...parts, clusterId: cluster.clusterId }, node);
      const isAlive = (peer: string) => answers(mesh, peer);
      return acceptJoin({ ...parts, isAlive, remove }, from, request);
    },
  });
  stops.add('joining', endJoin);
  const control = await serveControl(
    paths.socket,
    controlRoutes({
      foundation,
      config,
      clock,
      actors,
      log,
      secrets,
      client: api.client,
      version: VERSION,
      health: () => health.report(),
    }),
    log,
  );
  stops.add('control socket', () => control.close());
  const writeKubeconfig = async () => {
    const server = `https://${config.advertiseAddress}:${config.apiPort}`;
    await writePrivateFile(paths.adminKubeconfig, await adminKubeconfig(cluster, server));
  };
  await writeKubeconfig();
  const renew = async () => {
    await api.renewCertificate();
    await writeKubeconfig();
  };
  const endRenewal = startRenewal({ clock, log, renew });
  stops.add('certificate renewal', async () => endRenewal());
}
