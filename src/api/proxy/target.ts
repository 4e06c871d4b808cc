/** Which port of which pod a proxy request means: by the pod's own name, or through a service's endpoints. */

import type { Random } from '../../lib/random.ts';
import type { Endpoints, Pod, Service } from '../../resources/generated/kinds.ts';
import type { KindCatalog } from '../discovery/catalog.ts';
import { unknownPath } from '../http/errors.ts';
import { contextOf, type Exchange } from '../http/exchange.ts';
import { type ApiError, badRequest, failure } from '../status.ts';
import type { PodView } from '../streams/pod-target.ts';
import type { ApiVerbs } from '../types.ts';

export type TargetComponents = {
  readonly verbs: Pick<ApiVerbs, 'get'>;
  readonly catalog: KindCatalog;
  /** Picks among a service's endpoints. */
  readonly random: Random;
};

export type Scheme = 'http' | 'https';
export type ProxyTarget = { readonly scheme: Scheme; readonly pod: PodView; readonly port: number };

type Named = { readonly scheme: Scheme; readonly name: string; readonly port: string };

/** `name`, `name:port` or `scheme:name:port`, as they stand in the path. Throws 400. */
export function parseName(text: string): Named {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1) return { scheme: 'http', name: first, port: '' };
  if (parts.length === 2 && first !== '') return { scheme: 'http', name: first, port: second };
  if (parts.length === 3 && second !== '' && (first === 'http' || first === 'https')) {
    return { scheme: first, name: second, port: third };
  }
  throw badRequest(`invalid name "${text}": must be name, name:port or scheme:name:port`);
}

/** The port of a pod: the one asked for by number, or the first its containers declare. */
export async function podTarget(
  components: TargetComponents,
  exchange: Exchange,
  at: { readonly namespace: string; readonly name: string },
): Promise<ProxyTarget> {
  const { scheme, name, port } = parseName(at.name);
  const pod = await objectAt<Pod>(components, exchange, 'pods', { ...at, name });
  const declared = pod.spec.containers.flatMap(({ ports }) => ports ?? [])[0]?.containerPort;
  const number = port === '' ? declared : portNumber(port);
  if (number === undefined) {
    throw badRequest(
      port === ''
        ? `pod "${name}" declares no port: name one, as in ${name}:8080`
        : `invalid port "${port}" of pod "${name}": must be a number between 1 and 65535`,
    );
  }
  return { scheme, pod: pod as PodView, port: number };
}

/** One of the ready endpoints of a service, at the port asked for by name or number. */
export async function serviceTarget(
  components: TargetComponents,
  exchange: Exchange,
  at: { readonly namespace: string; readonly name: string },
): Promise<ProxyTarget> {
  const { scheme, name, port } = parseName(at.name);
  const { namespace } = at;
  const where = { namespace, name };
  const service = await objectAt<Service>(components, exchange, 'services', where);
  const portName = servicePortName(service, port);
  const endpoints = await objectAt<Endpoints>(components, exchange, 'endpoints', where).catch(
    (error: ApiError) => {
      if (error.reason === 'NotFound') return undefined;
      throw error;
    },
  );
  const choices = (endpoints?.subsets ?? []).flatMap(({ addresses = [], ports = [] }) => {
    const found = ports.find((one) => (one.name ?? '') === portName)?.port;
    return found === undefined ? [] : addresses.map((address) => ({ address, port: found }));
  });
  if (choices.length === 0) throw unavailable(`no endpoints available for service "${name}"`);
  const { address, port: number } = components.random.pick(choices);
  const { kind, name: podName } = address.targetRef ?? {};
  if (kind !== 'Pod' || podName === undefined) {
    throw failure(
      501,
      'NotImplemented',
      `endpoint ${address.ip} of service "${name}" is no pod of this cluster: only pods are reached through the API`,
    );
  }
  const pod = await objectAt<PodView>(components, exchange, 'pods', { namespace, name: podName });
  return { scheme, pod, port: number };
}

/** 503, with which every failure to reach what is proxied is answered. */
export function unavailable(message: string): ApiError {
  return failure(503, 'ServiceUnavailable', message);
}

function servicePortName({ metadata, spec }: Service, port: string): string {
  const number = portNumber(port);
  if (number === undefined) return port;
  const found = spec.ports?.find((one) => one.port === number);
  if (found !== undefined) return found.name ?? '';
  throw unavailable(`no service port ${number} found for service "${metadata.name}"`);
}

function portNumber(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** An object of the core group. Rejects with ApiError, 404 among others. */
export async function objectAt<T>(
  { verbs, catalog }: Pick<TargetComponents, 'verbs' | 'catalog'>,
  exchange: Exchange,
  plural: string,
  at: { readonly namespace?: string; readonly name: string },
): Promise<T> {
  const serving = catalog.find('', 'v1', plural);
  if (serving === undefined) throw unknownPath();
  const { item, bytes } = await verbs.get(contextOf(exchange), { kind: serving.kind, ...at });
  return (item === undefined ? JSON.parse(bytes.toString()) : item.object) as T;
}
