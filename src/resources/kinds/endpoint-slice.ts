/** EndpointSlices: the addresses behind a Service, in pieces of bounded size. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN } from '../columns/common.ts';
import type { EndpointSlice } from '../generated/kinds.ts';
import { validateEndpointSlice, validateEndpointSliceUpdate } from '../validation/cluster.ts';
import { countGeneration, declareKind, startGeneration } from './support.ts';

/** How many ports or addresses a cell shows. */
const SHOWN_MAX = 3;

/** The declaration of EndpointSlice. */
export const endpointSliceKind = declareKind<EndpointSlice>({
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  shortNames: [],
  categories: [],
  namespaced: true,
  schema: 'io.k8s.api.discovery.v1.EndpointSlice',
  served: [],
  hasStatus: false,
  subresources: [],
  createOnUpdate: false,
  nameRule: 'dns-subdomain',
  countsGeneration: true,
  defaults: (slice) => {
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
  prepareCreate: startGeneration,
  prepareUpdate: (slice, old) => {
    countGeneration(
      { metadata: slice.metadata, spec: { endpoints: slice.endpoints, ports: slice.ports } },
      { metadata: old.metadata, spec: { endpoints: old.endpoints, ports: old.ports } },
    );
  },
  validate: validateEndpointSlice,
  validateUpdate: validateEndpointSliceUpdate,
  columns: [
    NAME_COLUMN,
    column('AddressType', 'Kind of the addresses.'),
    column('Ports', 'Ports of every endpoint.'),
    column('Endpoints', 'Addresses of the endpoints.'),
    AGE_COLUMN,
  ],
  cells: (slice, nowMs) => [
    slice.metadata.name,
    slice.addressType ?? '',
    limitedList((slice.ports ?? []).map(({ port }) => (port === undefined ? '*' : String(port)))),
    limitedList((slice.endpoints ?? []).flatMap(({ addresses }) => addresses ?? [])),
    ageCell(slice, nowMs),
  ],
});

function limitedList(items: readonly string[]): string {
  if (items.length === 0) return '<unset>';
  const shown = items.slice(0, SHOWN_MAX).join(',');
  return items.length > SHOWN_MAX ? `${shown} + ${items.length - SHOWN_MAX} more...` : shown;
}
