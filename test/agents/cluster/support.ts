/**
 * A cluster in one process for the tests of cluster agents: the real store, verbs and client, virtual time, the
 * agents under test, and fake nodes that run what is bound to them.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { CLUSTER_FENCE } from '../../../agents/cluster/controller.ts';
import { type ClusterAgentsOptions, clusterAgents } from '../../../agents/cluster/index.ts';
import type { Node, Pod } from '../../../agents/cluster/kinds.ts';
import { createActorSystem } from '../../../src/actors/system.ts';
import type {
  ActorRef,
  ActorSystem,
  Behaviour,
  LeadershipScope,
} from '../../../src/actors/types.ts';
import { createVerbs } from '../../../src/api/verbs/index.ts';
import { isConflict, isNotFound } from '../../../src/client/errors.ts';
import { createLocalClient, type LocalClient } from '../../../src/client/local-client.ts';
import type { Client, KindMap, KindName } from '../../../src/client/types.ts';
import { VirtualClock } from '../../../src/lib/clock.ts';
import { type Logger, silentLogger } from '../../../src/lib/logger.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { allKinds } from '../../../src/resources/registry.ts';
import type { KubeObject } from '../../../src/resources/types.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
import type { Store } from '../../../src/store/types.ts';

export const CA = '-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n';

export type TestClusterOptions = {
  readonly seed?: number;
  readonly logger?: Logger;
  readonly agents?: Partial<ClusterAgentsOptions>;
  /** How long pods tolerate silence and unreadiness when they do not say. Default 300. */
  readonly tolerationSeconds?: number;
  /** Namespaces to make first. Default: default. */
  readonly namespaces?: readonly string[];
};

export class TestCluster {
  readonly clock = new VirtualClock();
  readonly store: Store;
  /** The client of the test and its fake nodes. */
  readonly client: LocalClient;
  /** The client that agents get. Default: the same. */
  clientOfAgents: Client;
  readonly random;
  term = 0;
  readonly system: ActorSystem;
  readonly #options: TestClusterOptions;
  readonly #scope = new AbortController();

  private constructor(options: TestClusterOptions) {
    const { clock } = this;
    this.#options = options;
    this.random = seededRandom(options.seed ?? 1);
    this.store = createLocalStore({ clock });
    const logger = options.logger ?? silentLogger;
    const { random } = this;
    this.system = createActorSystem({ clock, random, logger }, { node: 'test' });
    const common = { store: this.store, kinds: allKinds, clock, logger, random: this.random };
    this.client = createLocalClient(
      {
        ...common,
        verbs: createVerbs(common, {
          evictionTolerationSeconds: options.tolerationSeconds ?? 300,
        }),
      },
      { user: 'system:admin', groups: ['system:masters'] },
    );
    this.clientOfAgents = this.client;
  }

  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    for (const name of options.namespaces ?? ['default']) {
      await cluster.client.create('Namespace', { metadata: { name } });
      await cluster.client.create('ServiceAccount', {
        metadata: { name: 'default', namespace: name },
      });
    }
    return cluster;
  }

  /**
   * Starts agents by name in a new leadership. Leaders before it are not stopped: they do not know yet that they lead no
   * more.
   */
  async lead(...names: string[]): Promise<ReadonlyMap<string, ActorRef<never>>> {
    const term = ++this.term;
    await this.store.claimFence(CLUSTER_FENCE, term);
    const logger = this.#options.logger ?? silentLogger;
    const agents = clusterAgents(
      { client: this.clientOfAgents, clock: this.clock, random: this.random, logger },
      { kinds: allKinds, caCertificate: CA, ...this.#options.agents },
    );
    const started = new Map<string, ActorRef<never>>();
    for (const name of names) {
      const agent = agents.find((one) => one.name === name);
      if (!agent) throw new Error(`no agent is called ${name}`);
      started.set(name, this.spawn(`${name}-${term}`, agent.singleton, term));
    }
    return started;
  }

  spawn<M, S>(
    name: string,
    singleton: (scope: LeadershipScope) => Behaviour<M, S>,
    term: number,
  ): ActorRef<M> {
    const behaviour = singleton({ term, signal: this.#scope.signal });
    return this.system.spawn(behaviour, { name });
  }

  /** Lets virtual time pass until `condition` holds; throws after `deadlineMs` (default 30 s) of it. */
  async until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 30_000) {
    const end = this.clock.monotonicMs() + deadlineMs;
    while (!(await condition())) {
      if (this.clock.monotonicMs() >= end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
      await this.pass(5);
    }
  }

  /** Lets `ms` of virtual time pass, in small steps so that work started by timers gets its turns. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 5) {
      // Promise chains of a write take several turns of the loop.
      for (let turn = 0; turn < 3; turn++) await nextTurn();
      this.clock.advance(Math.min(5, left));
    }
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    for (const object of objects) {
      await this.client.create(object.kind as KindName, object as KindMap[KindName]);
    }
  }

  list<K extends KindName>(kind: K, namespace?: string): readonly KindMap[K][] {
    return this.client.informer(kind).list(namespace);
  }

  /** Ends all leaderships. Throws if an agent crashed meanwhile. */
  async stop(): Promise<void> {
    const crashed = this.system.tree().children.find(({ restarts }) => restarts > 0);
    this.#scope.abort();
    await this.system.shutdown();
    this.client.stop();
    if (crashed) throw new Error(`${crashed.path} crashed: ${crashed.lastFailure}`);
  }
}

export type FakeNodeOptions = {
  readonly cpu?: string;
  readonly memory?: string;
  readonly pods?: string;
  readonly labels?: Record<string, string>;
  readonly taints?: NonNullable<Node['spec']['taints']>;
};

/** A Node object as its agent registers it. */
export function node(name: string, options: FakeNodeOptions = {}): Node {
  const resources = {
    cpu: options.cpu ?? '4',
    memory: options.memory ?? '8Gi',
    pods: options.pods ?? '110',
  };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...options.labels } },
    spec: options.taints === undefined ? {} : { taints: options.taints },
    status: {
      capacity: resources,
      allocatable: resources,
      addresses: [{ type: 'InternalIP', address: `192.168.0.${1 + (hash(name) % 250)}` }],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready' }],
    },
  };
}

/** Nodes that run what is bound to them: pods become Running and Ready, and go when told to. */
export class FakeNodes {
  readonly #cluster: TestCluster;
  readonly #down = new Set<string>();
  readonly #unsubscribe: () => void;
  #addresses = 0;
  /** Time from binding to readiness. */
  startMs = 10;
  /** Time from deletion to the end. */
  stopMs = 10;
  /** Whether a pod gets ready at all. */
  becomesReady: (pod: Pod) => boolean = () => true;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#unsubscribe = cluster.client.informer('Pod').subscribe((event) => {
      if (event.type === 'deleted') return;
      const before = event.type === 'modified' ? event.previous : undefined;
      this.#look(event.object, before);
    });
  }

  async register(...nodes: Node[]): Promise<void> {
    for (const one of nodes) {
      await this.#cluster.client.create('Node', one);
      await this.#cluster.client.updateStatus('Node', one);
    }
  }

  /** The node does nothing anymore. */
  kill(name: string): void {
    this.#down.add(name);
  }

  revive(name: string): void {
    this.#down.delete(name);
    for (const pod of this.#cluster.list('Pod')) this.#look(pod, undefined);
  }

  stop(): void {
    this.#unsubscribe();
  }

  #look(pod: Pod, before: Pod | undefined): void {
    const { clock } = this.#cluster;
    if (!pod.spec.nodeName) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (before?.metadata.deletionTimestamp === undefined) {
        clock.after(this.stopMs, () => void this.#end(pod));
      }
      return;
    }
    if (pod.status?.phase === 'Running') return;
    if (!before?.spec.nodeName) clock.after(this.startMs, () => void this.#run(pod));
  }

  async #run(pod: Pod): Promise<void> {
    if (this.#down.has(pod.spec.nodeName ?? '')) return;
    const at = new Date(this.#cluster.clock.nowMs()).toISOString().slice(0, 19);
    const ready = this.becomesReady(pod) ? 'True' : 'False';
    const ip = `10.244.1.${++this.#addresses}`;
    const condition = { type: 'Ready', status: ready, lastTransitionTime: `${at}Z` };
    const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [condition] };
    await this.#patch(pod, status);
  }

  async setReady(pod: Pod, ready: boolean): Promise<void> {
    const at = new Date(this.#cluster.clock.nowMs()).toISOString().slice(0, 19);
    const status = ready ? 'True' : 'False';
    const condition = { type: 'Ready', status, lastTransitionTime: `${at}Z` };
    await this.#patch(pod, { conditions: [condition] });
  }

  async #patch(pod: Pod, status: object): Promise<void> {
    const { namespace = '', name, uid } = pod.metadata;
    const body = { metadata: { uid }, status };
    const patch = { type: 'strategic' as const, body };
    try {
      await this.#cluster.client.patch('Pod', { namespace, name }, patch, {
        subresource: 'status',
      });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async #end(pod: Pod): Promise<void> {
    if (this.#down.has(pod.spec.nodeName ?? '')) return;
    const { namespace = '', name, uid = '' } = pod.metadata;
    try {
      await this.#cluster.client.delete(
        'Pod',
        { namespace, name },
        { gracePeriodSeconds: 0, preconditions: { uid } },
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

/** A pod with one container and what the test gives it. */
export function pod(
  name: string,
  spec: Partial<Pod['spec']> = {},
  labels?: Record<string, string>,
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: `uid-${name}`, ...(labels ? { labels } : {}) },
    spec: { containers: [{ name: 'main', image: 'test' }], ...spec },
  };
}

/** A pod that asks for resources. */
export function podAsking(
  name: string,
  requests: Record<string, string>,
  spec: Partial<Pod['spec']> = {},
): Pod {
  return pod(name, {
    containers: [{ name: 'main', image: 'test', resources: { requests } }],
    ...spec,
  });
}

function hash(text: string): number {
  let value = 7;
  for (const letter of text) value = (value * 31 + letter.charCodeAt(0)) % 10_007;
  return value;
}
