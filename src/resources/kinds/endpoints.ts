/** Endpoints: the addresses behind a Service, in the older of the two forms. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { Endpoints } from '../generated/kinds.ts';
import { validateEndpoints } from '../validation/cluster.ts';
import { declareKind } from './support.ts';

/** How many addresses a cell shows. */
const SHOWN_MAX = 3;

/** The declaration of Endpoints. */
export const endpointsKind = declareKind<Endpoints>({
  group: '',
  version: 'v1',
  kind: 'Endpoints',
  plural: 'endpoints',
  shortNames: ['ep'],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.Endpoints',
  served: [],
  hasStatus: false,
  subresources: [],
  createOnUpdate: true,
  nameRule: 'dns-subdomain',
  countsGeneration: false,
  defaults: (endpoints) => {
    for (const subset of endpoints.subsets ?? []) {
      for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
    }
  },
  validate: validateEndpoints,
  columns: [NAME_COLUMN, column('Endpoints', 'Addresses and ports that are ready.'), AGE_COLUMN],
  cells: (endpoints, nowMs) => [
    endpoints.metadata.name,
    addressesCell(endpoints),
    ageCell(endpoints, nowMs),
  ],
});

function addressesCell(endpoints: Endpoints): string {
  const subsets = endpoints.subsets ?? [];
  if (subsets.length === 0) return '<none>';
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) => addresses.map(({ ip }) => joinHostPort(ip, port))),
  );
  const shown = all.slice(0, SHOWN_MAX).join(',');
  return all.length > SHOWN_MAX ? `${shown} + ${all.length - SHOWN_MAX} more...` : shown;
}

function joinHostPort(ip = '', port = 0): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
