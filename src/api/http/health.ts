/** /livez, /readyz and /healthz: plain text, one line per check when asked for more. */

import { messageOf } from '../../lib/errors.ts';
import type { Exchange } from './exchange.ts';
import { sendText } from './respond.ts';

/** One check: undefined when well, otherwise why not. */
export type HealthCheck = {
  readonly name: string;
  /** `ready` checks decide /readyz and /healthz only; `live` ones all three. */
  readonly of: 'live' | 'ready';
  check(): string | undefined;
};

const PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz', '/healthz']);

/** The endpoint and the single check (may be empty) that a path names, or undefined. */
export function healthPath(
  path: string,
): { readonly endpoint: string; readonly only: string } | undefined {
  if (PATHS.has(path)) return { endpoint: path, only: '' };
  const slash = path.indexOf('/', 1);
  if (slash < 0 || !PATHS.has(path.slice(0, slash))) return undefined;
  return { endpoint: path.slice(0, slash), only: path.slice(slash + 1) };
}

/** Answers a health path: 200 `ok`, or 500 with the list of checks; 404 for an unknown single check. */
export function serveHealth(
  exchange: Pick<Exchange, 'query' | 'response'>,
  { endpoint, only }: { readonly endpoint: string; readonly only: string },
  checks: readonly HealthCheck[],
): void {
  const { query, response } = exchange;
  const excluded = query.all('exclude');
  const chosen = checks.filter(
    ({ name, of }) =>
      (of === 'live' || endpoint !== '/livez') &&
      (only === '' || only === name) &&
      !excluded.includes(name),
  );
  if (only !== '' && only !== 'ping' && chosen.length === 0) {
    sendText(response, 404, '404 page not found\n');
    return;
  }
  const lines = ['[+]ping ok'];
  let well = true;
  for (const check of chosen) {
    const why = outcomeOf(check);
    if (why !== undefined) well = false;
    lines.push(why === undefined ? `[+]${check.name} ok` : `[-]${check.name} failed: ${why}`);
  }
  const name = endpoint.slice(1);
  if (!well) sendText(response, 500, `${lines.join('\n')}\n${name} check failed\n`);
  else if (query.flag('verbose')) {
    sendText(response, 200, `${lines.join('\n')}\n${name} check passed\n`);
  } else sendText(response, 200, 'ok');
}

/** A check that fails to check is a failed check. */
function outcomeOf(check: HealthCheck): string | undefined {
  try {
    return check.check();
  } catch (error) {
    return messageOf(error);
  }
}
