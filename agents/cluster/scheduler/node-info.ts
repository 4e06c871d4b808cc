/** One node as the pipeline sees it: its object and the sums over the pods placed on it. */

import type { Node } from '../kinds.ts';
import { amountsOf, type HostPort, type PodInfo } from './requests.ts';

export class NodeInfo {
  readonly name: string;
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  readonly allocatable: ReadonlyMap<string, number>;
  /** Image name to its size in bytes. */
  readonly images: ReadonlyMap<string, number>;
  readonly pods: Map<string, PodInfo>;
  /** The pods among them whose anti-affinity may shut others out. */
  readonly averse = new Map<string, PodInfo>();
  readonly requested: Map<string, number>;
  scoringCpu = 0;
  scoringMemory = 0;

  constructor(node: Node, pods: Iterable<PodInfo> = []) {
    this.name = node.metadata.name;
    this.node = node;
    this.labels = node.metadata.labels ?? {};
    this.allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity ?? {});
    this.images = imagesOf(node);
    this.pods = new Map();
    this.requested = new Map();
    for (const pod of pods) this.add(pod);
  }

  add(info: PodInfo): void {
    this.remove(info.uid);
    this.pods.set(info.uid, info);
    if (info.averse) this.averse.set(info.uid, info);
    this.#count(info, 1);
  }

  remove(uid: string): void {
    const info = this.pods.get(uid);
    if (!info) return;
    this.pods.delete(uid);
    this.averse.delete(uid);
    this.#count(info, -1);
  }

  /** A copy whose pods may be taken away to see what preemption would bring. */
  clone(): NodeInfo {
    return new NodeInfo(this.node, this.pods.values());
  }

  free(resource: string): number {
    return (this.allocatable.get(resource) ?? 0) - (this.requested.get(resource) ?? 0);
  }

  /** True when some pod of the node holds a host port that clashes with `wanted`. */
  portTaken(wanted: HostPort): boolean {
    for (const info of this.pods.values()) {
      if (info.hostPorts.some((held) => clashes(held, wanted))) return true;
    }
    return false;
  }

  #count(info: PodInfo, sign: 1 | -1): void {
    for (const [name, value] of info.requests) {
      this.requested.set(name, (this.requested.get(name) ?? 0) + sign * value);
    }
    this.scoringCpu += sign * info.scoring.cpu;
    this.scoringMemory += sign * info.scoring.memory;
  }
}

/** 0.0.0.0 stands for every address of the node. */
function clashes(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0';
}

function imagesOf(node: Node): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const image of node.status?.images ?? []) {
    for (const name of image.names ?? []) sizes.set(name, image.sizeBytes ?? 0);
  }
  return sizes;
}
