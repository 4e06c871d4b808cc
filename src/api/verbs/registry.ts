/**
 * All verbs on all kinds: finds the code for a verb and subresource, and turns every failure into a
 * Status.
 */

import type { ResourceKind } from '../../resources/types.ts';
import { parseIpRange } from '../admission/ip-range.ts';
import { applyNotSupported } from '../patch/apply-patch.ts';
import { methodNotSupported, subjectOf, toApiError, writeRefused } from '../status.ts';
import type { ApiVerbs, Patch, RequestContext, Target } from '../types.ts';
import { createBinding } from './binding.ts';
import { BookmarkSchedule } from './bookmarks.ts';
import {
  settingsOf,
  type VerbsComponents,
  type VerbsContext,
  type VerbsOptions,
} from './components.ts';
import { createObject } from './create.ts';
import { deleteObject } from './delete.ts';
import { deleteCollection } from './delete-collection.ts';
import { createEviction } from './eviction.ts';
import { finalizeNamespace } from './finalize.ts';
import { getObject } from './get.ts';
import { listObjects } from './list.ts';
import { patchObject } from './patch.ts';
import { getScale, patchScale, updateScale } from './scale.ts';
import { createToken } from './token.ts';
import { updateObject } from './update.ts';
import { bytesOf } from './versions.ts';
import { WakeQueue } from './wake-queue.ts';
import { watchObjects } from './watch.ts';

/** The verbs of one process over its store. Throws config-invalid if an option makes no sense. */
export function createVerbs(components: VerbsComponents, options: VerbsOptions = {}): ApiVerbs {
  const settings = settingsOf(options);
  parseIpRange(settings.serviceCidr);
  const byName = new Map<string, ResourceKind>();
  // A custom kind may bear a built-in one's name; the built-in one, declared first, is meant.
  for (const kind of components.kinds) if (!byName.has(kind.kind)) byName.set(kind.kind, kind);
  const verbs: VerbsContext = {
    ...components,
    settings,
    wakeQueue: new WakeQueue(components.clock),
    bookmarks: new BookmarkSchedule(components),
    kindNamed: (name) => byName.get(name),
  };
  return {
    get: (context, target, getOptions = {}) => answered(get(verbs, context, target, getOptions)),
    list: (context, target, listOptions = {}) =>
      answered(listObjects(verbs, context, target, listOptions)),
    watch: (context, target, watchOptions = {}) =>
      answered(watchObjects(verbs, context, target, watchOptions)),
    create: (context, target, body) => written(target, () => create(verbs, context, target, body)),
    update: (context, target, body) => written(target, () => update(verbs, context, target, body)),
    patch: (context, target, document) =>
      written(target, () => patch(verbs, context, target, document)),
    delete: (context, target, deleteOptions = {}) =>
      written(target, () => remove(verbs, context, target, deleteOptions)),
    deleteCollection: (context, target, deleteOptions = {}, selection = {}) =>
      written(target, () => deleteCollection(verbs, context, target, deleteOptions, selection)),
    bytesOf,
  };
}

type Args<T extends unknown[]> = [VerbsContext, RequestContext, Target, ...T];

async function get(...args: Args<[Parameters<typeof getObject>[3]]>) {
  const [verbs, context, target, options] = args;
  switch (target.subresource) {
    case undefined:
    case 'status':
      return getObject(verbs, context, target, options);
    case 'scale':
      return getScale(verbs, context, target);
    default:
      throw notHere(target, 'get');
  }
}

async function create(...args: Args<[unknown]>) {
  const [verbs, context, target, body] = args;
  const { subresource, kind } = target;
  const on = subresource === undefined ? '' : `${kind.kind}/${subresource}`;
  switch (on) {
    case '':
      return createObject(verbs, context, target, body);
    case 'Pod/binding':
      return createBinding(verbs, context, target, body);
    case 'Pod/eviction':
      return createEviction(verbs, context, target, body);
    case 'ServiceAccount/token':
      return createToken(verbs, context, target, body);
    default:
      throw notHere(target, 'create');
  }
}

async function update(...args: Args<[unknown]>) {
  const [verbs, context, target, body] = args;
  switch (target.subresource) {
    case 'scale':
      return updateScale(verbs, context, target, body);
    case 'finalize':
      return finalizeNamespace(verbs, context, target, body);
    default:
      return updateObject(verbs, context, target, body);
  }
}

async function patch(...args: Args<[Patch]>) {
  const [, , target, { type }] = args;
  // Whether or not the object exists: a client that applies wants it made.
  if (type === 'apply') throw applyNotSupported();
  return target.subresource === 'scale' ? patchScale(...args) : patchObject(...args);
}

async function remove(...args: Args<[Parameters<typeof deleteObject>[3]]>) {
  const [, , target] = args;
  if (target.subresource !== undefined) throw notHere(target, 'delete');
  return deleteObject(...args);
}

function notHere(target: Target, verb: string): Error {
  const { subresource } = target;
  const what = subresource === undefined ? verb : `${verb} of ${subresource}`;
  return methodNotSupported(subjectOf(target), what);
}

function written<T>(target: Target, work: () => Promise<T>): Promise<T> {
  const refusal = writeRefused(target);
  return refusal === undefined ? answered(work()) : Promise.reject(refusal);
}

function answered<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw toApiError(error);
  });
}
