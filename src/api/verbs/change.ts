/**
 * The loop that every change of a stored object goes through: plan a new state from the present
 * one, write it on condition that the present one is still that, and plan again from what won if it
 * is not. How the new state follows from the old is the caller's; that a change without effect
 * writes nothing is decided here.
 */

import { sameJson } from '../../resources/equality.ts';
import type { KubeObject } from '../../resources/types.ts';
import type { Check, Key, Operation, StoredObject } from '../../store/types.ts';
import { ApiError, notFound, subjectOf } from '../status.ts';
import type { RequestContext, Target } from '../types.ts';
import { catchUp, commit, committedVersion } from './commit.ts';
import type { VerbsContext } from './components.ts';
import { tooManyRaces } from './create.ts';
import { encodeObject, unstored } from './encode.ts';
import { barrier } from './freshness.ts';
import { keyFor, requiredName } from './keys.ts';

/** Lost races after which a change without a condition of its own gives up. */
const RACES_MAX = 64;

/** What a plan comes to. */
export type Plan = {
  /** The new state; freshly made, not the stored one modified. */
  readonly object: KubeObject;
  /** The object goes with this write. */
  readonly removes?: boolean;
  readonly checks?: readonly Check[];
  readonly operations?: readonly Operation[];
};

export type Changed = {
  /** The state after the write; of a removed object, its last state. */
  readonly item: StoredObject;
  readonly removed: boolean;
};

/**
 * Makes the new state from the present one. Throws ApiError to refuse. Runs again after a lost
 * race.
 */
export type Planner = (old: KubeObject, stored: StoredObject) => Plan | Promise<Plan>;

/** Changes the target's object, or answers `absent`. */
export async function changeOrAbsent(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  planner: Planner,
): Promise<Changed | 'absent'> {
  const name = requiredName(target);
  const key = keyFor(target, name);
  let current = new Current(verbs, context, key);
  for (let race = 0; race < RACES_MAX; race++) {
    const stored = await current.read();
    if (stored === undefined) return 'absent';
    let plan: Plan;
    try {
      plan = await planner(stored.object as KubeObject, stored);
    } catch (error) {
      // This replica may be behind what the client has seen: a conflict counts only against the
      // newest state.
      if (!isConflict(error) || !(await current.refresh())) throw error;
      continue;
    }
    const done = await write(verbs, context, target, { key, stored, plan });
    if (done.kind === 'changed') return done;
    await catchUp(verbs, context, done.found);
    current = new Current(verbs, context, key);
  }
  throw tooManyRaces(target, name);
}

/** Changes the target's object; 404 if there is none. */
export async function changeObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  planner: Planner,
): Promise<Changed> {
  const changed = await changeOrAbsent(verbs, context, target, planner);
  if (changed === 'absent') throw notFound(subjectOf(target), requiredName(target));
  return changed;
}

/** The local state of a key, made current at most once. */
class Current {
  readonly #verbs: VerbsContext;
  readonly #context: RequestContext;
  readonly #key: Key;
  #fresh = false;

  constructor(verbs: VerbsContext, context: RequestContext, key: Key) {
    this.#verbs = verbs;
    this.#context = context;
    this.#key = key;
  }

  async read(): Promise<StoredObject | undefined> {
    const found = this.#verbs.store.get(this.#key);
    if (found !== undefined || this.#fresh) return found;
    await this.refresh();
    return this.#verbs.store.get(this.#key);
  }

  /** Catches up with the cluster; false if that was done already. */
  async refresh(): Promise<boolean> {
    if (this.#fresh) return false;
    this.#fresh = true;
    await barrier(this.#verbs, this.#context);
    return true;
  }
}

type Attempt = { readonly key: Key; readonly stored: StoredObject; readonly plan: Plan };
type Written =
  | ({ readonly kind: 'changed' } & Changed)
  | { readonly kind: 'lost'; readonly found: Parameters<typeof catchUp>[2] };

async function write(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  { key, stored, plan }: Attempt,
): Promise<Written> {
  const { object, removes = false, checks = [], operations = [] } = plan;
  const old = stored.object as KubeObject;
  object.metadata.resourceVersion = old.metadata.resourceVersion;
  if (!removes && operations.length === 0 && sameJson(object, old)) {
    return { kind: 'changed', item: stored, removed: false };
  }
  const encoded = encodeObject(target.kind, object);
  if (context.dryRun === true) {
    return { kind: 'changed', item: unstored(key, encoded, stored), removed: removes };
  }
  const own: Operation = removes ? { op: 'delete', key } : { op: 'put', key, ...encoded };
  const result = await commit(verbs, context, {
    checks: [{ key, is: 'at', revision: stored.revision }, ...checks],
    operations: [own, ...operations],
  });
  if (result.kind === 'conflict') return { kind: 'lost', found: result.found };
  const put = { key, encoded, revision: result.revision };
  const item = committedVersion(verbs, put, stored.createRevision);
  return { kind: 'changed', item, removed: removes };
}

function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.reason === 'Conflict';
}
