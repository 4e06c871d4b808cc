/** Addresses of actors: `skein://<node>/<name>/<name>`, and of one-shot replies: `skein://<node>/$reply/<number>`. */

const SCHEME = 'skein://';
const REPLY = '/$reply/';

/** The path of the tree's root on `node`, without a slash at the end. */
export function rootPath(node: string): string {
  return `${SCHEME}${node}`;
}

/** The node a path leads to. Throws if it is no actor path. */
export function nodeOf(path: string): string {
  const end = path.indexOf('/', SCHEME.length);
  if (!path.startsWith(SCHEME) || end <= SCHEME.length) {
    throw new Error(`not an actor path: ${path}`);
  }
  return path.slice(SCHEME.length, end);
}

export function replyPath(node: string, id: number): string {
  return `${rootPath(node)}${REPLY}${id}`;
}

/** The number of a reply path, or undefined if it is an actor's. */
export function replyIdOf(path: string): number | undefined {
  const start = path.indexOf(REPLY, SCHEME.length);
  return start < 0 ? undefined : Number(path.slice(start + REPLY.length));
}
