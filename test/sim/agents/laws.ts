/** What must hold at every committed write, and whenever a container starts. */

import type { Node, Pod, ReplicaSet } from '../../../agents/cluster/kinds.ts';
import type { NodeId } from '../../../raft/types.ts';
import type { Transaction } from '../../../src/store/types.ts';
import type { AppliedStep } from '../checkers/applied.ts';
import { Checkers, type CheckersComponents } from '../checkers/checkers.ts';
import type { Observed } from '../checkers/observed.ts';
import type { World } from '../world/world.ts';
import { TOLERATION_SECONDS } from './node.ts';
import { CLOCK_ERROR_MS } from './swarm.ts';
import { type Change, ClusterView, controllerUid, isLive } from './view.ts';

type Fence = NonNullable<Transaction['fence']>;
type Facts = Readonly<Record<string, unknown>>;

/** The name under which the cluster's agents write. */
const FENCE = 'cluster-agents';
/** What nobody but the cluster's agents writes, unless it deletes. */
const OF_AGENTS_ALONE = new Set(['endpoints', 'endpointslices']);
/** Least time of a pod on a machine that is given up: its toleration, less what clocks may differ and seconds may hide. */
const PATIENCE_MS = TOLERATION_SECONDS * 1_000 - 2 * CLOCK_ERROR_MS - 1_200;
/** For so long an order that was given before counts as being carried out. */
const ORDER_MS = 10_000;

/** The laws of the group, and those of the cluster that stands on it. */
export class ClusterLaws extends Checkers {
  readonly view = new ClusterView();
  /** The node of each pod that was ever bound, by uid. */
  readonly bound = new Map<string, string>();
  readonly #world: World;
  readonly #fences = new Map<string, number>();
  /** What each ReplicaSet was told to be, lately. */
  readonly #orders = new Map<string, { readonly atMs: number; readonly replicas: number }[]>();
  /** Since when each Node has been given up. */
  readonly #givenUpMs = new Map<string, number>();
  #seen: number;

  constructor(components: CheckersComponents) {
    super(components);
    this.#world = components.world;
    this.#seen = components.founding.index;
  }

  override applies(process: Observed, step: AppliedStep): void {
    super.applies(process, step);
    const { index } = step.entry;
    if (index <= this.#seen) return;
    this.#seen = index;
    const outcome = this.history.outcomeAt(index);
    if (outcome?.command === undefined || outcome.repeated) return;
    const { command, result, events } = outcome;
    if (command.kind === 'claim') {
      if (result.kind === 'claimed') this.#claimed(command.name, command.term);
      return;
    }
    if (result.kind === 'fenced') this.#world.count('stale write fenced');
    if (result.kind !== 'committed') return;
    const { fence } = command.transaction;
    if (fence !== undefined) this.#isNewest(fence, index);
    for (const event of events) {
      const change = this.view.take(event);
      if (change === undefined) continue;
      this.#world.count(`${change.plural} written`);
      this.#committed(change, fence, index);
    }
  }

  /** A container of the pod begins to run on `node`. */
  startsContainer(node: NodeId, podUid: string): void {
    const bound = this.bound.get(podUid);
    if (bound === node) return;
    const facts = { node, pod: podUid, bound };
    this.fail('containers', 'containers run on the node that their pod is bound to', facts);
  }

  #claimed(name: string, term: number): void {
    const before = this.#fences.get(name) ?? 0;
    if (term < before) {
      this.fail('singleton epoch', 'a claim is never older than the one before', { term, before });
    }
    this.#fences.set(name, term);
    this.#world.count('leadership of agents');
  }

  #isNewest({ name, term }: Fence, index: number): void {
    const newest = this.#fences.get(name);
    if (term === newest) return;
    const facts = { name, term, newest, index };
    this.fail('singleton epoch', 'what a deposed leader writes takes no effect', facts);
  }

  #committed(change: Change, fence: Fence | undefined, index: number): void {
    const { plural, key, after } = change;
    const facts = { key, index };
    if (needsFence(change) && fence?.name !== FENCE) {
      this.fail(
        'singleton epoch',
        'what only singletons write is written under their fence',
        facts,
      );
    }
    if (after === undefined) {
      if (plural === 'pods' && fence !== undefined) this.#removed(change.before as Pod, facts);
      return;
    }
    if (plural === 'pods') this.#podWritten(change.before as Pod | undefined, after as Pod, facts);
    if (plural === 'replicasets') this.#ordered(after as ReplicaSet);
    if (plural === 'nodes') {
      this.#noteTaints(after as Node);
      this.#unique('pod subnets', this.view.list('nodes').map(subnetOf));
    }
    if (plural === 'services') {
      const addresses = this.view.list('services').map(({ spec }) => spec.clusterIP);
      this.#unique(
        'addresses of Services',
        addresses.filter((ip) => ip !== 'None'),
      );
    }
  }

  #podWritten(before: Pod | undefined, after: Pod, facts: Facts): void {
    const { uid = '' } = after.metadata;
    const { nodeName } = after.spec;
    const bound = this.bound.get(uid);
    if (bound !== undefined && nodeName !== bound) {
      const more = { ...facts, uid, bound, nodeName };
      this.fail('one node per pod', 'a pod is bound to one node, for ever', more);
    }
    if (nodeName !== undefined && nodeName !== '') this.bound.set(uid, nodeName);
    if (before?.metadata.uid !== uid) this.#created(after, facts);
  }

  #noteTaints({ metadata, spec }: Node): void {
    const { name } = metadata;
    const givenUp = (spec.taints ?? []).some(({ effect }) => effect === 'NoExecute');
    if (!givenUp) this.#givenUpMs.delete(name);
    else if (!this.#givenUpMs.has(name)) this.#givenUpMs.set(name, this.#world.nowMs);
  }

  /** An agent of the cluster removed a pod by force, on its way out or not. */
  #removed({ metadata, spec }: Pod, facts: Facts): void {
    const sinceMs = this.#givenUpMs.get(spec.nodeName ?? '');
    if (sinceMs === undefined || metadata.deletionTimestamp !== undefined) return;
    this.#world.count('pod evicted by force');
    const waitedMs = this.#world.nowMs - sinceMs;
    if (waitedMs >= PATIENCE_MS) return;
    const more = { ...facts, node: spec.nodeName, waitedMs, patienceMs: PATIENCE_MS };
    this.fail('patience', 'a pod is evicted when its toleration has run out, not before', more);
  }

  #created(pod: Pod, facts: Facts): void {
    const owner = controllerUid(pod);
    const orders = owner === undefined ? undefined : this.#orders.get(owner);
    if (orders === undefined) return;
    const { nowMs } = this.#world;
    // The order in force when the time began counts as well.
    while ((orders[1]?.atMs ?? nowMs) < nowMs - ORDER_MS) orders.shift();
    const most = Math.max(...orders.map(({ replicas }) => replicas));
    const mine = this.view.list('pods').filter((one) => controllerUid(one) === owner);
    const live = mine.filter(isLive).length;
    if (live <= most) return;
    const more = { ...facts, owner, live, most };
    this.fail('replicas', 'a ReplicaSet has no more live pods than it was told to have', more);
  }

  #ordered({ metadata, spec }: ReplicaSet): void {
    const { uid = '' } = metadata;
    const { replicas = 1 } = spec;
    const orders = this.#orders.get(uid) ?? [];
    if (orders.at(-1)?.replicas !== replicas) orders.push({ atMs: this.#world.nowMs, replicas });
    this.#orders.set(uid, orders);
  }

  #unique(what: string, values: readonly (string | undefined)[]): void {
    const value = firstTwice(values);
    if (value !== undefined) this.fail('addresses', `${what} are unique`, { value });
  }
}

/** True for what users and nodes have no business with. */
function needsFence({ plural, before, after }: Change): boolean {
  if (after === undefined) return false;
  if (OF_AGENTS_ALONE.has(plural)) return true;
  if (before === undefined) return controllerUid(after) !== undefined;
  if (plural === 'pods') return !(before as Pod).spec.nodeName && !!(after as Pod).spec.nodeName;
  if (plural !== 'nodes') return false;
  return subnetOf(before) !== subnetOf(after);
}

function subnetOf(node: object): string | undefined {
  return (node as { spec?: { podCIDR?: string } }).spec?.podCIDR;
}

/** A value that occurs twice. */
export function firstTwice(values: readonly (string | undefined)[]): string | undefined {
  const seen = new Set<string>();
  for (const value of values) {
    if (value === undefined || value === '') continue;
    if (seen.has(value)) return value;
    seen.add(value);
  }
  return undefined;
}
