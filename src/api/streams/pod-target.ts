/** Which container of which pod on which node a stream request means. */

import type { ContainerStreams, ContainerTarget } from '../../lib/container-streams.ts';
import type { KubeObject } from '../../resources/types.ts';
import type { KindCatalog } from '../discovery/catalog.ts';
import { unknownPath } from '../http/errors.ts';
import { contextOf, type Exchange } from '../http/exchange.ts';
import type { ResourcePath } from '../http/path.ts';
import { badRequest, failure } from '../status.ts';
import type { ApiVerbs } from '../types.ts';

type Named = { readonly name: string };

/** What streams need to know of a pod. */
export type PodView = KubeObject & {
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly Named[];
    readonly initContainers?: readonly Named[];
    readonly ephemeralContainers?: readonly Named[];
  };
};

/** The node agent's streams for a pod, or undefined when its node is out of reach. */
export type StreamsFor = (
  pod: PodView,
) => ContainerStreams | undefined | Promise<ContainerStreams | undefined>;

export type PodComponents = {
  readonly verbs: Pick<ApiVerbs, 'get'>;
  readonly catalog: KindCatalog;
  readonly streamsFor: StreamsFor;
};

/** The pod at a path. Rejects with ApiError, 404 among others. */
export async function podAt(
  { verbs, catalog }: Pick<PodComponents, 'verbs' | 'catalog'>,
  exchange: Exchange,
  path: ResourcePath,
): Promise<PodView> {
  const serving = catalog.find('', 'v1', 'pods');
  const { namespace, name } = path;
  if (serving === undefined || namespace === undefined || name === undefined) throw unknownPath();
  const target = { kind: serving.kind, namespace, name };
  const { item, bytes } = await verbs.get(contextOf(exchange), target);
  return (item === undefined ? JSON.parse(bytes.toString()) : item.object) as PodView;
}

/** The streams of the pod's node. Rejects with 400 for a pod without a node, 503 for a node out of reach. */
export async function streamsOf(
  { streamsFor }: Pick<PodComponents, 'streamsFor'>,
  pod: PodView,
): Promise<ContainerStreams> {
  const { nodeName = '' } = pod.spec;
  if (nodeName === '') {
    throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  }
  const streams = await streamsFor(pod);
  if (streams !== undefined) return streams;
  throw failure(
    503,
    'ServiceUnavailable',
    `node "${nodeName}", which runs pod "${pod.metadata.name}", cannot be reached`,
    { retryAfterSeconds: 1 },
  );
}

/** The container a request names, or the only one there is. Throws 400 in upstream's words. */
export function containerOf(pod: PodView, asked: string | undefined): ContainerTarget {
  const { name, namespace = '', uid = '' } = pod.metadata;
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const target = (container: string) => ({ namespace, pod: name, podUid: uid, container });
  if (asked !== undefined) {
    const all = [...containers, ...initContainers, ...ephemeralContainers];
    if (all.some((container) => container.name === asked)) return target(asked);
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return target(only.name);
  const also = [
    [initContainers, 'init'],
    [ephemeralContainers, 'ephemeral'],
  ] as const;
  const more = also
    .filter(([list]) => list.length > 0)
    .map(([list, word]) => ` or one of the ${word} containers: [${names(list)}]`);
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${names(containers)}]${more.join('')}`,
  );
}

function names(containers: readonly Named[]): string {
  return containers.map(({ name }) => name).join(' ');
}
