/**
 * Group versions at the edge. The store holds one version of every object; a client that speaks
 * another gets it converted here, each object at most once per version while somebody holds it.
 */

import type { KubeObject, ServedVersion } from '../../resources/types.ts';
import type { StoredObject } from '../../store/types.ts';
import type { Target } from '../types.ts';
import { apiVersionOf, encodeServed } from './encode.ts';
import { cloneJson } from './json.ts';

const converted = new WeakMap<ServedVersion, WeakMap<StoredObject, Buffer>>();

/** The JSON of a stored object in the target's group version. */
export function bytesOf(target: Pick<Target, 'kind' | 'served'>, item: StoredObject): Buffer {
  const { served } = target;
  if (served === undefined) return item.bytes;
  let cache = converted.get(served);
  if (cache === undefined) {
    cache = new WeakMap();
    converted.set(served, cache);
  }
  let bytes = cache.get(item);
  if (bytes === undefined) {
    bytes = encodeServed(servedObject(target, item.object as KubeObject));
    cache.set(item, bytes);
  }
  return bytes;
}

/** A copy of a stored object in the target's group version, for the caller to modify. */
export function servedObject(
  target: Pick<Target, 'kind' | 'served'>,
  object: KubeObject,
): KubeObject {
  const copy = cloneJson(object);
  const { served } = target;
  if (served === undefined) return copy;
  const result = served.fromStorage(copy);
  result.apiVersion = apiVersionOf(served);
  return result;
}
