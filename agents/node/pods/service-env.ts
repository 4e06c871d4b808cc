/** Docker-style variables of the Services a pod can reach by environment. Pure. */

import type { Service } from './kinds.ts';

/** Always present, whatever enableServiceLinks says: programs find the API by it. */
const MASTER_SERVICE = { namespace: 'default', name: 'kubernetes' } as const;

/**
 * NAME_SERVICE_HOST, NAME_SERVICE_PORT and the link variables of each Service with an address: those
 * of the pod's namespace if `links`, and always the API's own.
 */
export function serviceEnv(
  services: readonly Service[],
  namespace: string,
  links: boolean,
): Map<string, string> {
  const env = new Map<string, string>();
  for (const service of services) {
    const { metadata, spec } = service;
    const master =
      metadata.namespace === MASTER_SERVICE.namespace && metadata.name === MASTER_SERVICE.name;
    if (!master && !(links && metadata.namespace === namespace)) continue;
    const host = spec?.clusterIP;
    if (!host || host === 'None') continue;
    addService(env, metadata.name, host, spec?.ports ?? []);
  }
  return env;
}

type Port = NonNullable<NonNullable<Service['spec']>['ports']>[number];

function addService(
  env: Map<string, string>,
  name: string,
  host: string,
  ports: readonly Port[],
): void {
  const prefix = variableName(name);
  env.set(`${prefix}_SERVICE_HOST`, host);
  const [first] = ports;
  if (first === undefined) return;
  env.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports) {
    if (port.name) env.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
  }
  const address = host.includes(':') ? `[${host}]` : host;
  env.set(`${prefix}_PORT`, link(first, address));
  for (const port of ports) {
    const protocol = port.protocol ?? 'TCP';
    const base = `${prefix}_PORT_${port.port}_${protocol}`;
    env.set(base, link(port, address));
    env.set(`${base}_PROTO`, protocol.toLowerCase());
    env.set(`${base}_PORT`, String(port.port));
    env.set(`${base}_ADDR`, host);
  }
}

function link(port: Port, address: string): string {
  return `${(port.protocol ?? 'TCP').toLowerCase()}://${address}:${port.port}`;
}

function variableName(text: string): string {
  return text.toUpperCase().replaceAll('-', '_').replaceAll('.', '_');
}
