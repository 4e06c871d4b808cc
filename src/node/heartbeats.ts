/**
 * Liveness without consensus: every node gossips a beat twice a second, so that each knows whom it has heard;
 * and tells the leader's node-lifecycle actor, which alone writes, and only when something changed.
 */

import { loadavg } from 'node:os';
import {
  HEARTBEAT_MS,
  type NodeHeartbeat,
  PEER_WINDOW_MS,
  type ReportedReadiness,
} from '../../agents/cluster/index.ts';
import { singletonPath } from '../actors/singleton.ts';
import type { ActorSystem } from '../actors/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Mesh } from '../mesh/types.ts';
import type { Foundation } from './foundation.ts';
import { readMembers } from './members.ts';

const TOPIC = 'skein/beat/1';
const BEAT = Buffer.from([1]);

export type HeartbeatComponents = Pick<Foundation, 'store' | 'consensus'> & {
  readonly mesh: Pick<Mesh, 'publish' | 'subscribe'>;
  readonly clock: Clock;
  readonly actors: ActorSystem;
  /** What the node has to say of its own readiness. */
  readonly readiness: () => ReportedReadiness | undefined;
};

/** Starts beating; returns how to stop. */
export function startHeartbeats(components: HeartbeatComponents, nodeName: string): () => void {
  const { mesh, store, consensus, clock, actors, readiness } = components;
  const heardAtMs = new Map<string, number>();
  const unsubscribe = mesh.subscribe(TOPIC, (_beat, from) => {
    heardAtMs.set(from, clock.monotonicMs());
  });

  const peersHeard = (): string[] => {
    const since = clock.monotonicMs() - PEER_WINDOW_MS;
    return readMembers(store)
      .filter(({ peer }) => (heardAtMs.get(peer) ?? Number.NEGATIVE_INFINITY) >= since)
      .map(({ node }) => node);
  };

  let timer = clock.after(0, beat);
  function beat(): void {
    timer = clock.after(HEARTBEAT_MS, beat);
    mesh.publish(TOPIC, BEAT);
    const { leader } = consensus.status();
    if (leader === undefined) return;
    const ready = readiness();
    const heartbeat: NodeHeartbeat = {
      kind: 'heartbeat',
      node: nodeName,
      sentAtMonotonic: clock.monotonicMs(),
      peersHeard: peersHeard(),
      load: loadavg()[0] ?? 0,
      ...(ready ? { ready } : {}),
    };
    actors.resolve<NodeHeartbeat>(singletonPath(leader, 'node-lifecycle')).tell(heartbeat);
  }
  return () => {
    timer.cancel();
    unsubscribe();
  };
}
