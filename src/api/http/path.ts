/**
 * What a path of the API names. Purely syntactic: whether the resource exists, and whether it lives in namespaces, is known
 * by the catalog of kinds.
 */

/** A path under /api/<version> or /apis/<group>/<version> that names a resource. */
export type ResourcePath = {
  readonly kind: 'resource';
  /** '' for core. */
  readonly group: string;
  readonly version: string;
  readonly namespace?: string;
  readonly plural: string;
  readonly name?: string;
  readonly subresource?: string;
  /**
   * What follows the subresource, without its leading slash. Of a proxy it is the container's business: still percent-encoded, and empty if
   * there is nothing but the slash.
   */
  readonly rest?: string;
  /** The older form /api/v1/watch/...: a GET there is a watch. */
  readonly watchPrefix: boolean;
};

export type ApiPath =
  | ResourcePath
  /** /api */
  | { readonly kind: 'core-versions' }
  /** /apis */
  | { readonly kind: 'groups' }
  /** /apis/<group> */
  | { readonly kind: 'group'; readonly group: string }
  /** /api/v1 or /apis/<group>/<version> */
  | { readonly kind: 'resources'; readonly group: string; readonly version: string }
  | { readonly kind: 'other'; readonly path: string };

/** Parses the path of a URL (no query). Trailing slashes do not matter; percent-encoding is undone. */
export function parsePath(path: string): ApiPath {
  if (!path.startsWith('/api')) return { kind: 'other', path };
  const proxied = PROXY.exec(path);
  if (proxied !== null) {
    const [, head = '', rest] = proxied;
    const parsed = parseSegments(head);
    return parsed.kind === 'resource' && rest !== undefined
      ? { ...parsed, rest: rest.slice(1) }
      : parsed;
  }
  return parseSegments(path);
}

const PROXY = /^(\/api\/v1\/(?:namespaces\/[^/]+\/)?(?:pods|services|nodes)\/[^/]+\/proxy)(\/.*)?$/;

function parseSegments(path: string): ApiPath {
  const segments = segmentsOf(path);
  if (segments === undefined) return { kind: 'other', path };
  const [root, first, second] = segments;
  if (root === 'api') {
    if (first === undefined) return { kind: 'core-versions' };
    if (segments.length === 2) return { kind: 'resources', group: '', version: first };
    return resourcePath('', first, segments.slice(2)) ?? { kind: 'other', path };
  }
  if (root !== 'apis') return { kind: 'other', path };
  if (first === undefined) return { kind: 'groups' };
  if (second === undefined) return { kind: 'group', group: first };
  if (segments.length === 3) return { kind: 'resources', group: first, version: second };
  return resourcePath(first, second, segments.slice(3)) ?? { kind: 'other', path };
}

function segmentsOf(path: string): string[] | undefined {
  const end = path.endsWith('/') ? path.length - 1 : path.length;
  const segments = path.slice(1, end).split('/');
  if (!path.includes('%')) return segments;
  try {
    const decoded = segments.map(decodeURIComponent);
    // No name contains a slash, and a key must not be made to.
    return decoded.some((segment) => segment.includes('/')) ? undefined : decoded;
  } catch {
    return undefined;
  }
}

function resourcePath(
  group: string,
  version: string,
  segments: string[],
): ResourcePath | undefined {
  let watchPrefix = false;
  if (segments[0] === 'watch' && segments.length > 1) {
    watchPrefix = true;
    segments = segments.slice(1);
  }
  if (segments.includes('')) return undefined;
  let namespace: string | undefined;
  // /namespaces/<name>/status and /finalize are about the namespace itself, all else below lies in it.
  if (segments[0] === 'namespaces' && segments.length > 2 && !aboutNamespace(segments[2])) {
    namespace = segments[1];
    segments = segments.slice(2);
  }
  const [plural, name, subresource, ...rest] = segments;
  if (plural === undefined) return undefined;
  return {
    kind: 'resource',
    group,
    version,
    ...(namespace === undefined ? {} : { namespace }),
    plural,
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
    ...(rest.length === 0 ? {} : { rest: rest.join('/') }),
    watchPrefix,
  };
}

function aboutNamespace(segment: string | undefined): boolean {
  return segment === 'status' || segment === 'finalize';
}
