/**
 * Lists. Every page of a list shows the state of one revision, which the first page fixes and the
 * token carries; when that revision has left the history, the client gets 410 with a token to go on
 * with newer state if it likes.
 */

import { setImmediate } from 'node:timers/promises';
import type { ListResult, Revision, StoredObject } from '../../store/types.ts';
import { badRequest, expired } from '../status.ts';
import type { ListAnswer, ListOptions, RequestContext, Target } from '../types.ts';
import type { VerbsContext } from './components.ts';
import { decodeContinue, encodeContinue } from './continue-token.ts';
import { freshEnough, notOlderThan, parseRevision } from './freshness.ts';
import { keyFor, prefixFor } from './keys.ts';
import { checkListOptions } from './list-options.ts';
import { parseSelection, type Selection, selects } from './selection.ts';

/** Objects looked at before other work gets its turn. */
const TURN_OBJECTS_MAX = 2_000;
/** Fewest objects fetched at once while looking for enough that match. */
const SCAN_MIN = 500;

const TOO_OLD_TOKEN =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
  'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
  'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted ' +
  'between the time the first chunk was returned and now may show up in the list.';

type Start = { readonly atRevision: Revision | undefined; readonly after: string | undefined };
type Listed = Extract<ListResult, { readonly kind: 'listed' }>;

/** One page (or all) of the target's objects. */
export async function listObjects(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: ListOptions,
): Promise<ListAnswer> {
  checkListOptions(options);
  const selection = parseSelection(target, options);
  const prefix = prefixFor(target);
  const limit = limitOf(options);
  const start = await startOf(verbs, context, options, prefix, limit);
  const single = singleObject(verbs, target, selection, start);
  if (single !== undefined) return single;
  if (limit === undefined) {
    const listed = fetch(verbs, prefix, start, undefined, options);
    return { items: await filter(selection, listed.items), revision: listed.revision };
  }
  return page(verbs, selection, { prefix, start, limit, options });
}

function limitOf(options: ListOptions): number | undefined {
  const { limit } = options;
  if (limit === undefined || limit === 0) return undefined;
  if (!Number.isSafeInteger(limit) || limit < 0) throw badRequest(`invalid limit: ${limit}`);
  return limit;
}

/** Where the list begins, after waiting until the replica is recent enough for it. */
async function startOf(
  verbs: VerbsContext,
  context: RequestContext,
  options: ListOptions,
  prefix: string,
  limit: number | undefined,
): Promise<Start> {
  const { continueToken, resourceVersion, resourceVersionMatch } = options;
  if (continueToken !== undefined && continueToken !== '') {
    if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const { revision, after } = decodeContinue(continueToken, prefix);
    // The previous page may have come from a replica that is ahead of this one.
    if (revision !== undefined) await notOlderThan(verbs, context, revision);
    return { atRevision: revision, after };
  }
  await freshEnough(verbs, context, resourceVersion);
  const revision = parseRevision(resourceVersion);
  // Upstream's older meaning: with a limit and no match, a revision is meant exactly.
  const exact =
    resourceVersionMatch === 'Exact' ||
    ((resourceVersionMatch ?? '') === '' && limit !== undefined && revision !== 0);
  const atRevision = exact && revision !== undefined && revision !== 0 ? revision : undefined;
  return { atRevision, after: undefined };
}

/** `metadata.name=x` in one namespace is one look-up. */
function singleObject(
  verbs: VerbsContext,
  target: Target,
  selection: Selection,
  start: Start,
): ListAnswer | undefined {
  const { name } = selection;
  if (name === undefined || start.atRevision !== undefined || start.after !== undefined) return;
  if (target.kind.namespaced && (target.namespace ?? '') === '') return;
  const revision = verbs.store.revision();
  const item = name === '' ? undefined : verbs.store.get(keyFor(target, name));
  return { items: item !== undefined && selects(selection, item) ? [item] : [], revision };
}

type PageRequest = {
  readonly prefix: string;
  readonly start: Start;
  readonly limit: number;
  readonly options: ListOptions;
};

async function page(
  verbs: VerbsContext,
  selection: Selection,
  request: PageRequest,
): Promise<ListAnswer> {
  const { prefix, start, limit, options } = request;
  const items: StoredObject[] = [];
  let { after, atRevision } = start;
  for (;;) {
    const wanted = limit - items.length;
    const scan = selection.all ? wanted : Math.max(wanted, SCAN_MIN);
    const listed = fetch(verbs, prefix, { after, atRevision }, scan, options);
    const revision = listed.revision;
    const found = await filter(selection, listed.items);
    const taken = found.slice(0, wanted);
    items.push(...taken);
    const cut = taken.length < found.length;
    after = (cut ? taken.at(-1) : listed.items.at(-1))?.key ?? after;
    if (listed.remaining === 0 && !cut) return { items, revision };
    if (items.length === limit && after !== undefined) {
      const continueToken = encodeContinue({ revision, after });
      const rest = selection.all ? { remainingItemCount: listed.remaining } : {};
      return { items, revision, continueToken, ...rest };
    }
    // Further scans of this page must show the same state.
    atRevision = revision;
  }
}

function fetch(
  verbs: VerbsContext,
  prefix: string,
  start: Start,
  limit: number | undefined,
  options: ListOptions,
): Listed {
  const { after, atRevision } = start;
  const listed = verbs.store.list(prefix, {
    ...(after === undefined ? {} : { after }),
    ...(limit === undefined ? {} : { limit }),
    ...(atRevision === undefined ? {} : { atRevision }),
  });
  if (listed.kind === 'listed') return listed;
  const paging = (options.continueToken ?? '') !== '';
  if (paging && after !== undefined) {
    throw expired(TOO_OLD_TOKEN, encodeContinue({ revision: undefined, after }));
  }
  throw expired(`The resourceVersion for the provided list is too old.`);
}

async function filter(
  selection: Selection,
  items: readonly StoredObject[],
): Promise<readonly StoredObject[]> {
  if (selection.all) return items;
  const found: StoredObject[] = [];
  let seen = 0;
  for (const item of items) {
    if (selects(selection, item)) found.push(item);
    if (++seen % TURN_OBJECTS_MAX === 0) await setImmediate();
  }
  return found;
}
