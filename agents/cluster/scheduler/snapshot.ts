/**
 * The scheduler's picture of the cluster, changed object by object as informers report, never rebuilt.
 * A pod that was placed but whose binding is not yet visible is *assumed*: it counts on its node, so that
 * the next pod of the same batch does not take the same room.
 */

import { invariant } from '../../../src/lib/invariant.ts';
import type { Node, Pod } from '../kinds.ts';
import { isPodFinished } from '../pods.ts';
import { NodeInfo } from './node-info.ts';
import { type PodInfo, podInfo } from './requests.ts';

type Placed = { readonly info: PodInfo; readonly node: string; readonly assumed: boolean };

export class Snapshot {
  readonly #nodes = new Map<string, NodeInfo>();
  readonly #placed = new Map<string, Placed>();
  readonly #reserved = new Map<string, { readonly info: PodInfo; readonly node: string }>();

  /** Nodes in a stable order. */
  nodes(): IterableIterator<NodeInfo> {
    return this.#nodes.values();
  }

  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  get nodeCount(): number {
    return this.#nodes.size;
  }

  setNode(node: Node): void {
    const name = node.metadata.name;
    const known = this.#nodes.get(name);
    const pods = known ? known.pods.values() : this.#placedOn(name);
    this.#nodes.set(name, new NodeInfo(node, pods));
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
  }

  /** Takes in the current state of a pod. A visible binding replaces the assumption, whatever it was. */
  setPod(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const nodeName = pod.spec.nodeName;
    const finished = isPodFinished(pod);
    if (!finished && (nodeName === undefined || nodeName === '')) return;
    this.#take(uid);
    if (finished || nodeName === undefined) return;
    this.#put({ info: podInfo(pod), node: nodeName, assumed: false });
  }

  removePod(uid: string): void {
    this.#take(uid);
  }

  /** Counts `info` on `node` until the binding is seen or `forget` is called. */
  assume(info: PodInfo, node: string): void {
    invariant(!this.#placed.has(info.uid), 'a pod is assumed once', { pod: info.key, node });
    this.#reserved.delete(info.uid);
    this.#put({ info, node, assumed: true });
  }

  /** Takes an assumption back. A binding that was seen meanwhile stays. */
  forget(uid: string): void {
    if (this.#placed.get(uid)?.assumed) this.#take(uid);
  }

  /** Keeps room on `node` for a pod that others are making way for, until it is placed or released. */
  reserve(info: PodInfo, node: string): void {
    this.#reserved.set(info.uid, { info, node });
  }

  release(uid: string): void {
    this.#reserved.delete(uid);
  }

  /** The nodes as `info` must see them: room reserved for pods no less important than it is taken. */
  *nodesFor(info: PodInfo): IterableIterator<NodeInfo> {
    const others = [...this.#reserved.values()].filter(
      (held) => held.info.uid !== info.uid && held.info.priority >= info.priority,
    );
    for (const node of this.#nodes.values()) {
      const held = others.filter((other) => other.node === node.name);
      if (held.length === 0) {
        yield node;
        continue;
      }
      const crowded = node.clone();
      for (const other of held) crowded.add(other.info);
      yield crowded;
    }
  }

  isPlaced(uid: string): boolean {
    return this.#placed.has(uid);
  }

  #put(placed: Placed): void {
    this.#placed.set(placed.info.uid, placed);
    this.#nodes.get(placed.node)?.add(placed.info);
  }

  #take(uid: string): void {
    this.#reserved.delete(uid);
    const placed = this.#placed.get(uid);
    if (!placed) return;
    this.#placed.delete(uid);
    this.#nodes.get(placed.node)?.remove(uid);
  }

  *#placedOn(node: string): IterableIterator<PodInfo> {
    for (const placed of this.#placed.values()) if (placed.node === node) yield placed.info;
  }
}
