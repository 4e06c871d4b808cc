/**
 * Who is connected to whom. A connection is made when both machines run and the wires let both directions pass; it breaks
 * when a process dies, or when nothing has passed for as long as a peer is waited for.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';
import type { SimMesh } from './mesh.ts';
import type { SimNetwork } from './network.ts';

type Pair = {
  readonly a: NodeId;
  readonly b: NodeId;
  ends: readonly [SimMesh, SimMesh] | undefined;
  silentSinceMs: number | undefined;
  notBeforeMs: number;
};

/** Time between two looks at a pair. */
const LOOK_MS = 40;

export class Connections {
  readonly #world: World;
  readonly #random: Random;
  readonly #network: SimNetwork;
  readonly #options: SwarmOptions['network'];
  readonly #meshes = new Map<NodeId, SimMesh>();
  readonly #pairs = new Map<string, Pair>();

  constructor(world: World, random: Random, network: SimNetwork, options: SwarmOptions['network']) {
    this.#world = world;
    this.#random = random;
    this.#network = network;
    this.#options = options;
  }

  /** The process that runs on `node`, if one does. */
  mesh(node: NodeId): SimMesh | undefined {
    return this.#meshes.get(node);
  }

  names(): readonly NodeId[] {
    return [...this.#meshes.keys()];
  }

  /**
   * A process begins to listen. One whose address changed cannot be called by anybody who knows the old one; it has to call
   * them itself, which takes a while.
   */
  add(mesh: SimMesh, moved: boolean): void {
    const known = this.#meshes.has(mesh.self);
    this.#meshes.set(mesh.self, mesh);
    for (const other of this.#meshes.keys()) {
      if (other === mesh.self) continue;
      const pair = this.#pair(mesh.self, other);
      pair.notBeforeMs = this.#world.nowMs + (moved ? exponential(this.#random, 600) : 0);
      if (!known) this.#maybeConnect(pair);
    }
  }

  /**
   * The process of `node` is gone. Its machine says so to whoever can hear it, unless the power is gone as well.
   */
  remove(mesh: SimMesh, powerless: boolean): void {
    if (this.#meshes.get(mesh.self) === mesh) this.#meshes.delete(mesh.self);
    if (powerless) return;
    for (const pair of this.#pairs.values()) {
      if (pair.ends?.includes(mesh) !== true) continue;
      const other = pair.a === mesh.self ? pair.b : pair.a;
      const ends = pair.ends;
      this.#world.after(this.#options.delayFloorMs + exponential(this.#random, 5), () => {
        if (pair.ends === ends && !this.#network.isCut(mesh.self, other)) this.#break(pair);
      });
    }
  }

  connected(a: NodeId, b: NodeId): boolean {
    const pair = this.#pairs.get(nameOf(a, b));
    return pair?.ends !== undefined && !this.#isStale(pair.ends);
  }

  #pair(a: NodeId, b: NodeId): Pair {
    const name = nameOf(a, b);
    let pair = this.#pairs.get(name);
    if (pair === undefined) {
      pair = { a, b, ends: undefined, silentSinceMs: undefined, notBeforeMs: 0 };
      this.#pairs.set(name, pair);
      this.#look(pair);
    }
    return pair;
  }

  #look(pair: Pair): void {
    this.#world.after(LOOK_MS * (0.5 + this.#random.float()), () => {
      this.#look(pair);
      if (pair.ends === undefined || this.#isStale(pair.ends)) this.#maybeConnect(pair);
      if (pair.ends !== undefined) this.#maybeBreak(pair);
    });
  }

  #maybeConnect(pair: Pair): void {
    const left = this.#meshes.get(pair.a);
    const right = this.#meshes.get(pair.b);
    if (left === undefined || right === undefined || this.#isSilent(pair)) return;
    if (this.#world.nowMs < pair.notBeforeMs) return;
    // A process that was started anew calls again, which ends what is left of the old connection.
    if (pair.ends !== undefined) this.#break(pair);
    pair.ends = [left, right];
    pair.silentSinceMs = undefined;
    left.connected(pair.b);
    right.connected(pair.a);
  }

  #maybeBreak(pair: Pair): void {
    const { nowMs } = this.#world;
    const gone = pair.ends !== undefined && this.#isStale(pair.ends);
    if (!gone && !this.#isSilent(pair)) {
      pair.silentSinceMs = undefined;
      return;
    }
    pair.silentSinceMs ??= nowMs;
    if (nowMs - pair.silentSinceMs >= this.#options.noticeMs) this.#break(pair);
  }

  #break(pair: Pair): void {
    const { ends } = pair;
    pair.ends = undefined;
    pair.silentSinceMs = undefined;
    this.#world.count('connection broken');
    ends?.[0].disconnected(pair.b);
    ends?.[1].disconnected(pair.a);
  }

  /** One of its ends is a process that is no more. */
  #isStale(ends: readonly SimMesh[]): boolean {
    return ends.some((mesh) => this.#meshes.get(mesh.self) !== mesh);
  }

  #isSilent({ a, b }: Pair): boolean {
    return this.#network.isCut(a, b) || this.#network.isCut(b, a);
  }
}

function nameOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
