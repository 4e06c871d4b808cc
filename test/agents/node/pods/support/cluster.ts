/** A node's pod agent over the real store, verbs and client in one process, with whatever runtime a test gives it. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createPodsAgent,
  type PodsAgent,
  type PodsAgentDeps,
  type PodsAgentOptions,
} from '../../../../../agents/node/pods/agent.ts';
import type { Pod } from '../../../../../agents/node/pods/kinds.ts';
import type {
  ContainerRuntime,
  Mounter,
  PodNetwork,
  PodNetworkTarget,
} from '../../../../../agents/node/pods/ports.ts';
import { createActorSystem } from '../../../../../src/actors/system.ts';
import type { ActorSystem } from '../../../../../src/actors/types.ts';
import { createVerbs } from '../../../../../src/api/verbs/index.ts';
import { isNotFound } from '../../../../../src/client/errors.ts';
import { createLocalClient, type LocalClient } from '../../../../../src/client/local-client.ts';
import type { KindMap } from '../../../../../src/client/types.ts';
import { type Clock, systemClock } from '../../../../../src/lib/clock.ts';
import { type Logger, silentLogger } from '../../../../../src/lib/logger.ts';
import { seededRandom } from '../../../../../src/lib/random.ts';
import { allKinds } from '../../../../../src/resources/registry.ts';
import { Sealer } from '../../../../../src/sealing/sealer.ts';
import { createLocalStore } from '../../../../../src/store/local-store.ts';
import { until } from '../../../../support/dockerd.ts';

export const NODE = 'node-a';

/** A pod network that hands out addresses and remembers who has one. */
export class FakePodNetwork implements PodNetwork {
  readonly attached = new Map<string, PodNetworkTarget>();
  #next = 2;
  readonly #ips = new Map<string, string>();
  /** Rejects attachments with this message while set. */
  failure: string | undefined;

  async attach(target: PodNetworkTarget): Promise<{ ips: string[] }> {
    if (this.failure !== undefined) throw new Error(this.failure);
    const ip = this.#ips.get(target.containerId) ?? `10.250.0.${this.#next++}`;
    this.#ips.set(target.containerId, ip);
    this.attached.set(target.containerId, target);
    return { ips: [ip] };
  }

  async detach({ containerId }: PodNetworkTarget): Promise<void> {
    this.attached.delete(containerId);
  }
}

export type TestNodeOptions = {
  readonly runtime: ContainerRuntime;
  readonly mounter: Mounter;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly deps?: Partial<PodsAgentDeps>;
  readonly agent?: Partial<PodsAgentOptions>;
};

/** One node; `agent` may be stopped and started anew, the API and the disk stay. */
export class TestNode {
  readonly client: LocalClient;
  readonly network = new FakePodNetwork();
  readonly clock: Clock;
  readonly root: string;
  agent: PodsAgent;
  tokensIssued = 0;
  #system: ActorSystem;
  readonly #options: TestNodeOptions;

  private constructor(options: TestNodeOptions, root: string) {
    this.#options = options;
    this.root = root;
    const clock = options.clock ?? systemClock;
    this.clock = clock;
    const logger = options.logger ?? silentLogger;
    const random = seededRandom(1);
    const store = createLocalStore({ clock });
    const common = { store, kinds: allKinds, clock, logger, random };
    this.client = createLocalClient(
      { ...common, verbs: createVerbs(common, { mountServiceAccountTokens: true }) },
      { user: 'system:admin', groups: ['system:masters'] },
    );
    this.#system = this.#newSystem();
    this.agent = this.#newAgent();
  }

  static async start(options: TestNodeOptions): Promise<TestNode> {
    const root = await mkdtemp(join(tmpdir(), 'skein-pods-'));
    const node = new TestNode(options, root);
    await node.client.create('Namespace', { metadata: { name: 'default' } });
    await node.client.create('ServiceAccount', {
      metadata: { name: 'default', namespace: 'default' },
    });
    await node.client.create('ConfigMap', {
      metadata: { name: 'kube-root-ca.crt', namespace: 'default' },
      data: { 'ca.crt': 'certificate' },
    });
    await node.agent.start();
    return node;
  }

  /** Ends the agent's process, as far as the world can see, and starts another on the same disk. */
  async restartAgent(
    deps: Partial<PodsAgentDeps> = {},
    meanwhile: () => void | Promise<void> = () => {},
  ): Promise<void> {
    await this.agent.stop();
    await this.#system.shutdown();
    await meanwhile();
    this.#system = this.#newSystem();
    this.agent = this.#newAgent(deps);
    await this.agent.start();
  }

  async stop(): Promise<void> {
    await this.agent.stop();
    await this.#system.shutdown();
    this.client.stop();
    await this.#options.mounter.unmountBelow(this.root);
    // What was being written when the agent stopped may still arrive.
    await rm(this.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }

  /** Creates a pod that is bound to this node. */
  async run(name: string, spec: Partial<Pod['spec']>, metadata: object = {}): Promise<Pod> {
    return this.client.create('Pod', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', ...metadata },
      spec: { containers: [], nodeName: NODE, ...spec },
    });
  }

  async pod(name: string): Promise<Pod | undefined> {
    try {
      return await this.client.get('Pod', { namespace: 'default', name });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Waits until the pod, as the API shows it, satisfies the condition; answers it. */
  async podUntil(
    name: string,
    what: string,
    condition: (pod: Pod | undefined) => boolean,
    deadlineMs = 15_000,
  ): Promise<Pod | undefined> {
    let last: Pod | undefined;
    try {
      await until(`${name} ${what}`, deadlineMs, async () => {
        last = await this.pod(name);
        return condition(last);
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; it shows ${JSON.stringify(last?.status)}`);
    }
    return last;
  }

  async events(name: string): Promise<KindMap['Event'][]> {
    const { items } = await this.client.list('Event', { namespace: 'default' });
    return items.filter(({ involvedObject }) => involvedObject.name === name);
  }

  /** Waits for an event about the pod; answers its message. */
  async eventUntil(name: string, reason: string, deadlineMs = 10_000): Promise<string> {
    let message: string | undefined;
    await until(`event ${reason} about ${name}`, deadlineMs, async () => {
      message = (await this.events(name)).find((event) => event.reason === reason)?.message;
      return message !== undefined;
    });
    return message ?? '';
  }

  #newSystem(): ActorSystem {
    return createActorSystem(
      {
        clock: this.clock,
        random: seededRandom(2),
        logger: this.#options.logger ?? silentLogger,
      },
      { node: NODE },
    );
  }

  #newAgent(more: Partial<PodsAgentDeps> = {}): PodsAgent {
    const { runtime, mounter, deps, agent, logger = silentLogger } = this.#options;
    return createPodsAgent(
      {
        client: this.client,
        actors: this.#system,
        runtime,
        network: this.network,
        tokens: {
          create: async ({ expirationSeconds }) => {
            this.tokensIssued++;
            const expiresAtMs = this.clock.nowMs() + expirationSeconds * 1000;
            return { token: `token-${this.tokensIssued}`, expiresAtMs };
          },
        },
        vault: new Sealer(Buffer.alloc(32, 1), 'test'),
        clock: this.clock,
        log: logger,
        mounter,
        ...deps,
        ...more,
      },
      {
        nodeName: NODE,
        hostIPs: ['192.0.2.1'],
        root: this.root,
        version: 'v1.32.0-skein.test',
        ...agent,
      },
    );
  }
}

/** The pod is up and every container ready. */
export function isReady(pod: Pod | undefined): boolean {
  return (
    pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ??
    false
  );
}
