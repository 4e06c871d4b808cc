/** The pod agent of one node: wires its parts and starts and stops them. */

import { mkdir } from 'node:fs/promises';
import type { ActorRef, ActorSystem } from '../../../src/actors/types.ts';
import { createEventRecorder, type EventRecorder } from '../../../src/client/events.ts';
import type { Client } from '../../../src/client/types.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type { ContainerStreams } from '../../../src/lib/container-streams.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import { Checkpoints } from './checkpoint.ts';
import type { PodServices, PodSettings } from './deps.ts';
import { tcpDialer } from './dialer.ts';
import type { ClusterDns } from './etc-files.ts';
import { recorderOn } from './events.ts';
import { type ImagePullFallback, Images } from './images.ts';
import type { Pod } from './kinds.ts';
import { nodeFilter } from './labels.ts';
import { readNodeFacts } from './node-object/facts.ts';
import { type NodeMessage, nodeBehaviour } from './node-object/node-actor.ts';
import { Objects } from './object-source.ts';
import type {
  ContainerRuntime,
  Dialer,
  Mounter,
  PodNetwork,
  ServiceAccountTokens,
  Vault,
} from './ports.ts';
import { RESTART_BACKOFF_DEFAULTS, type RestartBackoffOptions } from './restart-backoff.ts';
import { Slots } from './slots.ts';
import { createStreams } from './streams/streams.ts';
import { type Supervisor, type SupervisorMessage, supervisorBehaviour } from './supervisor.ts';
import { systemMounter } from './volumes/mounter.ts';
import { TokenKeeper } from './volumes/tokens.ts';
import { PodVolumes } from './volumes/volumes.ts';

export type PodsAgentDeps = {
  readonly client: Client;
  readonly actors: ActorSystem;
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly tokens: ServiceAccountTokens;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: TCP from this process's network namespace. */
  readonly dialer?: Dialer;
  /** Default: mount(8). */
  readonly mounter?: Mounter;
};

export type PodsAgentOptions = {
  readonly nodeName: string;
  /** The node's addresses, the primary one first. */
  readonly hostIPs: readonly string[];
  /** The agent's own directory. */
  readonly root: string;
  /** As nodeInfo.kubeletVersion: v1.32.0-skein.1. */
  readonly version: string;
  /** Further labels of the node object. Default none. */
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** Most pods on this node. Default 110. */
  readonly podsMax?: number;
  /** Default local: an image that is present is used when no registry answers. */
  readonly imagePullFallback?: ImagePullFallback;
  /** Crash-loop delays. Default upstream's: 10 s doubling to 300 s. */
  readonly restartBackoff?: RestartBackoffOptions;
  /** Most containers starting at once. Default 8. */
  readonly startsMax?: number;
  /** Default skein/pause:1. */
  readonly sandboxImage?: string;
  /** Default none: pods use the node's name servers. */
  readonly clusterDns?: ClusterDns;
  /** Most processes of one container. Default no limit. */
  readonly podPidsMax?: number;
  /** The node's own files. Defaults /etc/resolv.conf and /etc/hosts. */
  readonly resolvConfPath?: string;
  readonly hostsPath?: string;
};

export interface PodsAgent {
  /** Resolves when the agent runs; pods follow on their own. */
  start(): Promise<void>;
  /** Ends the agent; containers go on running. */
  stop(): Promise<void>;
  readonly streams: ContainerStreams;
  /** Why the container runtime cannot be used now; undefined when well. */
  runtimeProblem(): string | undefined;
}

const POD_NODE_INDEX = 'node-pods/spec.nodeName';
const DESCRIBE_DEADLINE_MS = 5_000;

/** Makes the agent. Nothing happens before `start`. */
export function createPodsAgent(deps: PodsAgentDeps, options: PodsAgentOptions): PodsAgent {
  return new Agent(deps, options);
}

class Agent implements PodsAgent {
  readonly streams: ContainerStreams;
  readonly #deps: PodsAgentDeps;
  readonly #options: PodsAgentOptions;
  readonly #stopping = new AbortController();
  readonly #refs: ActorRef<never>[] = [];
  #events: EventRecorder | undefined;
  #supervisor: Supervisor | undefined;
  #problem: string | undefined = 'the container runtime has not answered yet';

  constructor(deps: PodsAgentDeps, options: PodsAgentOptions) {
    this.#deps = deps;
    this.#options = options;
    this.streams = createStreams({
      runtime: deps.runtime,
      dialer: deps.dialer ?? tcpDialer,
      describe: (uid) => {
        const child = this.#supervisor?.child(uid);
        return child?.ask((replyTo) => ({ kind: 'describe', replyTo }), {
          deadlineMs: DESCRIBE_DEADLINE_MS,
        });
      },
    });
  }

  async start(): Promise<void> {
    const { client, actors, clock, log, runtime } = this.#deps;
    const { nodeName, root } = this.#options;
    const { signal } = this.#stopping;
    await mkdir(root, { recursive: true, mode: 0o700 });
    const events = createEventRecorder({
      client,
      clock,
      logger: log,
      component: 'kubelet',
      host: nodeName,
    });
    this.#events = events;
    const objects = new Objects(client);
    const facts = await readNodeFacts(root);
    const services = this.#services(objects, events, this.#settings(facts));
    await services.volumes.init();
    const supervisor = actors.spawn(this.#supervisorBehaviour(services, objects), { name: 'pods' });
    this.#refs.push(supervisor);
    const node = actors.spawn(
      nodeBehaviour(
        { client, runtime, clock, facts, runtimeProblem: () => this.#problem },
        this.#options,
      ),
      { name: 'node-object' },
    );
    this.#refs.push(node);
    void this.#watchRuntime(supervisor, node, signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const ref of this.#refs.splice(0).reverse()) await this.#deps.actors.stop(ref);
    this.#events?.stop();
  }

  runtimeProblem(): string | undefined {
    return this.#problem;
  }

  #supervisorBehaviour(services: PodServices, objects: Objects) {
    const { client } = this.#deps;
    const { nodeName } = this.#options;
    const pods = client.informer('Pod');
    pods.addIndex(POD_NODE_INDEX, podNode);
    // Asked before it is complete, the index would be completed at once, with the pods of the whole cluster.
    let indexed = false;
    const base = supervisorBehaviour(services, {
      objects,
      podsNow: () => (indexed ? pods.byIndex(POD_NODE_INDEX, nodeName) : []),
      whenSynced: async (signal) => {
        await Promise.all([pods.whenSynced(signal), objects.whenSynced(signal)]);
        indexed = true;
      },
      subscribe: (tell) => {
        const ends = [
          pods.subscribe((event) => {
            for (const message of podMessages(event, nodeName)) tell(message);
          }),
          objects.subscribe((object) => tell({ kind: 'object-changed', object })),
        ];
        return () => {
          for (const end of ends) end();
        };
      },
      onRuntime: (problem) => {
        this.#problem = problem;
      },
    });
    return {
      ...base,
      init: async (context: Parameters<typeof base.init>[0]) => {
        const state = await base.init(context);
        this.#supervisor = state;
        return state;
      },
    };
  }

  /** Events of the runtime reach the supervisor at once; after a gap it lists. */
  async #watchRuntime(
    supervisor: ActorRef<SupervisorMessage>,
    node: ActorRef<NodeMessage>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#deps.runtime.watch(
      nodeFilter(this.#options.nodeName),
      {
        onConnected: () => {
          supervisor.tell({ kind: 'relist' });
          node.tell({ kind: 'look' });
        },
        onEvent: (event) => supervisor.tell({ kind: 'container-event', event }),
      },
      signal,
    );
  }

  #settings(facts: { readonly cpus: number; readonly memoryBytes: number }): PodSettings {
    const { nodeName, hostIPs, root, podPidsMax, clusterDns } = this.#options;
    const { memoryBytes } = facts;
    return {
      nodeName,
      hostIPs,
      root,
      memoryBytes,
      allocatable: { cpuMilli: facts.cpus * 1000, memoryBytes },
      sandboxImage: this.#options.sandboxImage ?? 'skein/pause:1',
      backoff: this.#options.restartBackoff ?? RESTART_BACKOFF_DEFAULTS,
      clusterDns,
      resolvConfPath: this.#options.resolvConfPath ?? '/etc/resolv.conf',
      hostsPath: this.#options.hostsPath ?? '/etc/hosts',
      ...(podPidsMax === undefined ? {} : { podPidsMax }),
    };
  }

  #services(objects: Objects, events: EventRecorder, settings: PodSettings): PodServices {
    const { client, runtime, network, tokens, vault, clock, log } = this.#deps;
    const { dialer = tcpDialer, mounter = systemMounter } = this.#deps;
    const { root, startsMax, imagePullFallback } = this.#options;
    const keeper = new TokenKeeper(tokens, clock);
    return {
      runtime,
      network,
      client,
      clock,
      log,
      objects,
      dialer,
      settings,
      events: recorderOn(events),
      volumes: new PodVolumes({ mounter, objects, tokens: keeper }, root),
      images: new Images(
        { runtime, objects, clock },
        imagePullFallback ? { imagePullFallback } : {},
      ),
      checkpoints: new Checkpoints({ root, vault, log }),
      slots: new Slots(clock, startsMax ? { slotsMax: startsMax } : {}),
    };
  }
}

function podNode(pod: Pod): readonly string[] {
  return pod.spec.nodeName ? [pod.spec.nodeName] : [];
}

/** What an informer's event means for this node. */
function podMessages(
  event: {
    readonly type: 'added' | 'modified' | 'deleted';
    readonly object: Pod;
    readonly previous?: Pod;
  },
  nodeName: string,
): SupervisorMessage[] {
  const { type, object, previous } = event;
  const messages: SupervisorMessage[] = [];
  const replaced = previous && previous.metadata.uid !== object.metadata.uid;
  if (replaced && previous.spec.nodeName === nodeName) {
    messages.push({ kind: 'pod-missing', pod: previous });
  }
  if (object.spec.nodeName !== nodeName) return messages;
  messages.push({ kind: type === 'deleted' ? 'pod-missing' : 'pod-seen', pod: object });
  return messages;
}
