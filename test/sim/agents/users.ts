/** People with kubectl: they create, scale, roll out and delete, drain machines and take them out, and ask any member for it. */

import type { NodeId } from '../../../raft/types.ts';
import type { Client } from '../../../src/client/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';
import { IMAGE } from './machine.ts';
import type { SimNode } from './node.ts';
import type { ClusterOptions } from './swarm.ts';
import type { ClusterView } from './view.ts';

export type UsersComponents = {
  readonly world: World;
  readonly random: Random;
  readonly options: ClusterOptions['users'];
  /** Whoever can be asked now. */
  readonly members: () => readonly SimNode[];
  readonly machines: readonly NodeId[];
  readonly view: ClusterView;
};

type Deed = (client: Client) => Promise<unknown>;

const NAMESPACE = 'default';
const background = { propagationPolicy: 'Background' } as const;
/** An app whose pods run and never get ready, and the share of deeds that are about it. */
export const DUD = 'dud';
const DUDS = 0.15;
/** Mean time for which a drained machine is left without work. */
const DRAINED_MS = 4_000;
const AGAIN_MS = 500;

export class Users {
  readonly #components: UsersComponents;
  #ended = false;
  #rollouts = 0;

  constructor(components: UsersComponents) {
    this.#components = components;
  }

  start(): void {
    const { world, random, options } = this.#components;
    world.after(exponential(random, options.everyMs), () => {
      if (this.#ended) return;
      const [what, deed] = this.#draw();
      this.#do(what, deed);
      this.start();
    });
  }

  end(): void {
    this.#ended = true;
  }

  /** Every machine may have work again, whatever it takes. Resolves in the world's time. */
  uncordonAll(): void {
    for (const node of this.#components.machines) this.#insist('uncordon', cordon(node, false));
  }

  #draw(): readonly [string, Deed] {
    const { random, options, machines } = this.#components;
    const app = random.chance(DUDS) ? DUD : `web-${random.int(1, options.apps)}`;
    const set = `set-${random.int(1, options.apps)}`;
    const replicas = random.int(0, options.replicasMax);
    const scaled = { type: 'merge', body: { spec: { replicas } } } as const;
    const deeds: readonly (readonly [number, string, Deed])[] = [
      [4, 'create Deployment', (client) => client.create('Deployment', workload(app, replicas))],
      [2, 'create ReplicaSet', (client) => client.create('ReplicaSet', workload(set, replicas))],
      [3, 'create Service', (client) => client.create('Service', service(random.pick([app, set])))],
      [3, 'scale Deployment', (client) => client.patch('Deployment', keyOf(app), scaled)],
      [3, 'scale ReplicaSet', (client) => client.patch('ReplicaSet', keyOf(set), scaled)],
      [2, 'roll out', (client) => client.patch('Deployment', keyOf(app), this.#rollout())],
      [1, 'delete Deployment', (client) => client.delete('Deployment', keyOf(app), background)],
      [1, 'delete ReplicaSet', (client) => client.delete('ReplicaSet', keyOf(set), background)],
      [1, 'delete Service', (client) => client.delete('Service', keyOf(random.pick([app, set])))],
      [2, 'delete Pod', (client) => this.#deletePod(client)],
      [1, 'drain', (client) => this.#drain(client, random.pick(machines))],
    ];
    let at = random.float() * deeds.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, what, deed] of deeds) {
      at -= weight;
      if (at < 0) return [what, deed];
    }
    return ['nothing', async () => {}];
  }

  #rollout() {
    const annotations = { rollout: String(++this.#rollouts) };
    return { type: 'merge', body: { spec: { template: { metadata: { annotations } } } } } as const;
  }

  async #deletePod(client: Client): Promise<void> {
    const pods = this.#components.view.list('pods');
    if (pods.length === 0) return;
    const { namespace = '', name } = this.#components.random.pick(pods).metadata;
    await client.delete('Pod', { namespace, name });
  }

  /** Cordons and empties a machine; later it is taken out of the cluster, and registers anew, or gets work again. */
  async #drain(client: Client, node: NodeId): Promise<void> {
    const { world, random, view } = this.#components;
    const takenOut = random.chance(0.5);
    world.after(exponential(random, DRAINED_MS), () => {
      const empty = view.list('pods').every(({ spec }) => spec.nodeName !== node);
      if (takenOut && empty && !this.#ended) {
        this.#do('delete Node', (other) => other.delete('Node', { name: node }));
      } else this.#insist('uncordon', cordon(node, false));
    });
    await cordon(node, true)(client);
    const there = view.list('pods').filter(({ spec }) => spec.nodeName === node);
    for (const { metadata } of there) {
      const { namespace = '', name } = metadata;
      await client.delete('Pod', { namespace, name }).catch(() => {});
    }
  }

  /** Asks somebody, once. `then` is told whether it was done. */
  #do(what: string, deed: Deed, then: (done: boolean) => void = () => {}): void {
    const { world, random, members } = this.#components;
    const able = members();
    if (able.length === 0) {
      then(false);
      return;
    }
    const member = random.pick(able);
    const { process } = member;
    process.turn(() => {
      const tell = (how: string) => {
        world.count(`user ${what} ${how}`);
        world.trace('user', how, `${what} at ${process.id}`);
        then(how !== 'refused');
      };
      deed(member.users).then(
        () => tell('done'),
        (error: Error & { readonly reason?: string }) => {
          tell(error.reason === 'NotFound' ? 'in vain' : 'refused');
        },
      );
    });
    process.onEnd(() => then(false));
  }

  #insist(what: string, deed: Deed): void {
    const { world } = this.#components;
    let over = false;
    this.#do(what, deed, (done) => {
      if (over) return;
      over = true;
      if (!done) world.after(AGAIN_MS, () => this.#insist(what, deed));
    });
  }
}

const keyOf = (name: string) => ({ namespace: NAMESPACE, name });

function cordon(name: NodeId, unschedulable: boolean): Deed {
  const patch = { type: 'merge', body: { spec: { unschedulable } } } as const;
  return (client) => client.patch('Node', { name }, patch);
}

function workload(name: string, replicas: number) {
  const labels = { app: name };
  const command = ['sh', '-c', 'trap "exit 0" TERM; sleep 100000'];
  const probe = name === DUD ? { readinessProbe: { exec: { command: ['false'] } } } : {};
  const template = {
    metadata: { labels },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: IMAGE, command, ...probe }],
    },
  };
  const metadata = { name, namespace: NAMESPACE };
  return { metadata, spec: { replicas, selector: { matchLabels: labels }, template } };
}

function service(name: string) {
  const ports = [{ port: 80, targetPort: 8080 }];
  return { metadata: { name, namespace: NAMESPACE }, spec: { selector: { app: name }, ports } };
}
