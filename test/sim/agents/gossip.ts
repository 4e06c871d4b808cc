/** Gossip over simulated wires: what is published reaches whoever is connected, or does not. */

import type { Mesh } from '../../../src/mesh/types.ts';

type Told = { readonly topic: string; readonly data: Uint8Array };
type Listener = (data: Uint8Array, from: string) => void;

const METHOD = 'sim/gossip';
const DEADLINE_MS = 1_000;

/** The same mesh, with gossip. */
export function withGossip(mesh: Mesh): Pick<Mesh, 'publish' | 'subscribe'> {
  const listeners = new Map<string, Set<Listener>>();
  mesh.serve(METHOD, async (body, from) => {
    const { topic, data } = body as Told;
    for (const listener of listeners.get(topic) ?? []) listener(data, from);
  });
  return {
    publish(topic: string, data: Uint8Array): void {
      for (const { peer, connected } of mesh.peers()) {
        if (!connected) continue;
        mesh.request(peer, METHOD, { topic, data }, { deadlineMs: DEADLINE_MS }).catch(() => {});
      }
    },
    subscribe(topic: string, listener: Listener): () => void {
      const those = listeners.get(topic) ?? new Set();
      listeners.set(topic, those.add(listener));
      return () => void those.delete(listener);
    },
  };
}
