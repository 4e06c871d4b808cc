/** The process's metric registry (Prometheus text at /metrics). Parts register what they measure. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry };

/** A registry with Node's own metrics (memory, loop delay, GC). One per node. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
