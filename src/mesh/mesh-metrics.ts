/** What the mesh shows at /metrics. Read when scraped: the paths of frames and requests pay nothing. */

import { Counter, Gauge, type Registry } from '../lib/metrics.ts';

export type MeshFacts = {
  readonly members: number;
  readonly connected: number;
  readonly connections: number;
  readonly strangers: number;
  readonly requestsOutstanding: number;
};

export type MeshMetrics = { readonly dialFailed: () => void; readonly peerLost: () => void };

/** Registers the mesh's metrics; `facts` is asked at every scrape. Without a registry nothing is kept. */
export function registerMeshMetrics(
  registry: Registry | undefined,
  facts: () => MeshFacts,
): MeshMetrics {
  if (registry === undefined) return { dialFailed() {}, peerLost() {} };
  const registers = [registry];
  const gauge = (name: string, help: string, pick: (facts: MeshFacts) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(pick(facts()));
      },
    });
  gauge('skein_mesh_members', 'Members this node admits, without itself.', (f) => f.members);
  gauge('skein_mesh_peers_connected', 'Members with a working connection.', (f) => f.connected);
  gauge('skein_mesh_connections', 'Open connections of all kinds.', (f) => f.connections);
  gauge('skein_mesh_strangers', 'Connections of peers that want to join.', (f) => f.strangers);
  gauge(
    'skein_mesh_requests_outstanding',
    'Requests of this node that wait for an answer.',
    (f) => f.requestsOutstanding,
  );
  const dials = new Counter({
    name: 'skein_mesh_dial_failures_total',
    help: 'Dials to members that did not end in a working connection.',
    registers,
  });
  const losses = new Counter({
    name: 'skein_mesh_peer_losses_total',
    help: 'Times a member went from connected to disconnected.',
    registers,
  });
  return { dialFailed: () => dials.inc(), peerLost: () => losses.inc() };
}
