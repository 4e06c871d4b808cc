/**
 * The operations of a group version as OpenAPI paths. kubectl looks here for what a server can do: a PATCH that lists fieldValidation lets
 * it leave validation to the server, and one that takes strategic merge patches lets it send them.
 */

import type { Serving } from '../discovery/catalog.ts';
import { verbsServed } from '../discovery/resource-entries.ts';
import type { Dialect, GroupVersionKind, JsonSchema, SchemaCollector } from './schemas.ts';

type Parameter = { readonly name: string; readonly type: string; readonly description: string };

const WRITE_PARAMETERS: readonly Parameter[] = [
  { name: 'dryRun', type: 'string', description: 'All: everything happens but the write.' },
  { name: 'fieldManager', type: 'string', description: 'Who makes the change.' },
  {
    name: 'fieldValidation',
    type: 'string',
    description: 'Ignore, Warn or Strict: what happens with unknown and duplicate fields.',
  },
];
const FORCE: Parameter = {
  name: 'force',
  type: 'boolean',
  description: 'Take over fields that others manage (apply patches).',
};
const LIST_PARAMETERS: readonly Parameter[] = [
  { name: 'allowWatchBookmarks', type: 'boolean', description: 'Send bookmarks.' },
  { name: 'continue', type: 'string', description: 'Token of the previous page.' },
  { name: 'fieldSelector', type: 'string', description: 'Only objects with these field values.' },
  { name: 'labelSelector', type: 'string', description: 'Only objects with these labels.' },
  { name: 'limit', type: 'integer', description: 'Most objects per page.' },
  { name: 'resourceVersion', type: 'string', description: 'The state to show.' },
  { name: 'resourceVersionMatch', type: 'string', description: 'Exact or NotOlderThan.' },
  { name: 'sendInitialEvents', type: 'boolean', description: 'Begin a watch with what exists.' },
  { name: 'timeoutSeconds', type: 'integer', description: 'End a watch after that.' },
  { name: 'watch', type: 'boolean', description: 'Stream changes.' },
];
const DELETE_PARAMETERS: readonly Parameter[] = [
  { name: 'dryRun', type: 'string', description: 'All: everything happens but the write.' },
  { name: 'gracePeriodSeconds', type: 'integer', description: 'Time to end in order.' },
  { name: 'orphanDependents', type: 'boolean', description: 'Older form of propagationPolicy.' },
  { name: 'propagationPolicy', type: 'string', description: 'Orphan, Background or Foreground.' },
];

const DELETE_OPTIONS = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';
const PATCH = 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch';
const STATUS = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];
const JSON_TYPES = ['application/json', 'application/yaml'];

/** Writes the operations of one document. */
export class PathWriter {
  readonly #dialect: Dialect;
  readonly #collector: SchemaCollector;

  constructor(dialect: Dialect, collector: SchemaCollector) {
    this.#dialect = dialect;
    this.#collector = collector;
  }

  /** All paths of one served kind. */
  paths(serving: Serving): Record<string, JsonSchema> {
    const { kind, served } = serving;
    const { group, version } = served ?? kind;
    const schemas = this.#collector.addKind(serving);
    const gvk = { group, version, kind: kind.kind };
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const collection = kind.namespaced
      ? `${root}/namespaces/{namespace}/${kind.plural}`
      : `${root}/${kind.plural}`;
    const scope = kind.namespaced ? ['namespace'] : [];
    const list = this.#operation('list', gvk, LIST_PARAMETERS, schemas.list);
    const paths: Record<string, JsonSchema> = {
      [collection]: {
        get: list,
        post: this.#operation('post', gvk, WRITE_PARAMETERS, schemas.object, schemas.object),
        delete: this.#operation(
          'deletecollection',
          gvk,
          [...LIST_PARAMETERS, ...DELETE_PARAMETERS],
          this.#collector.ref(STATUS),
          this.#collector.ref(DELETE_OPTIONS),
        ),
        parameters: this.#inPath(scope),
      },
      [`${collection}/{name}`]: {
        ...this.#readAndWrite(gvk, schemas.object),
        delete: this.#operation(
          'delete',
          gvk,
          DELETE_PARAMETERS,
          this.#collector.ref(STATUS),
          this.#collector.ref(DELETE_OPTIONS),
        ),
        parameters: this.#inPath([...scope, 'name']),
      },
    };
    if (kind.namespaced) paths[`${root}/${kind.plural}`] = { get: list };
    if (kind.writesRefused !== undefined) return readsOf(paths);
    for (const name of ['status', 'scale']) {
      if (verbsServed(kind, name) === undefined) continue;
      const scale = { group: 'autoscaling', version: 'v1', kind: 'Scale' };
      const isScale = name === 'scale';
      const object = isScale
        ? this.#collector.ref('io.k8s.api.autoscaling.v1.Scale')
        : schemas.object;
      paths[`${collection}/{name}/${name}`] = {
        ...this.#readAndWrite(isScale ? scale : gvk, object),
        parameters: this.#inPath([...scope, 'name']),
      };
    }
    return paths;
  }

  #readAndWrite(gvk: GroupVersionKind, object: JsonSchema): JsonSchema {
    return {
      get: this.#operation('get', gvk, [], object),
      put: this.#operation('put', gvk, WRITE_PARAMETERS, object, object),
      patch: this.#operation(
        'patch',
        gvk,
        [...WRITE_PARAMETERS, FORCE],
        object,
        this.#collector.ref(PATCH),
        PATCH_TYPES,
      ),
    };
  }

  #operation(
    action: string,
    gvk: GroupVersionKind,
    parameters: readonly Parameter[],
    answer: JsonSchema,
    body?: JsonSchema,
    bodyTypes: readonly string[] = JSON_TYPES,
  ): JsonSchema {
    const group = gvk.group === '' ? 'core' : gvk.group;
    const common = {
      description: `${action} ${gvk.kind}`,
      tags: [`${group}_${gvk.version}`],
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': gvk,
    };
    const query = parameters.map((parameter) => this.#parameter(parameter, 'query', false));
    if (this.#dialect === 'v2') {
      const inBody = { name: 'body', in: 'body', required: true, schema: body };
      return {
        ...common,
        consumes: body === undefined ? ['*/*'] : bodyTypes,
        produces: JSON_TYPES,
        parameters: body === undefined ? query : [inBody, ...query],
        responses: { 200: { description: 'OK', schema: answer } },
      };
    }
    return {
      ...common,
      parameters: query,
      ...(body === undefined ? {} : { requestBody: { content: content(bodyTypes, body) } }),
      responses: { 200: { description: 'OK', content: content(JSON_TYPES, answer) } },
    };
  }

  #inPath(names: readonly string[]): readonly JsonSchema[] {
    return names.map((name) =>
      this.#parameter({ name, type: 'string', description: `${name} of the object` }, 'path', true),
    );
  }

  #parameter(parameter: Parameter, where: 'path' | 'query', required: boolean): JsonSchema {
    const { name, type, description } = parameter;
    const kind = this.#dialect === 'v2' ? { type } : { schema: { type } };
    return {
      name,
      in: where,
      description,
      ...(required ? { required } : {}),
      ...kind,
      uniqueItems: this.#dialect === 'v2' ? true : undefined,
    };
  }
}

function content(types: readonly string[], schema: JsonSchema): JsonSchema {
  return Object.fromEntries(types.map((type) => [type, { schema }]));
}

/** The paths with nothing but their reads. */
function readsOf(paths: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  const entries = Object.entries(paths).map(([path, { get, parameters }]): [string, JsonSchema] => [
    path,
    parameters === undefined ? { get } : { get, parameters },
  ]);
  return Object.fromEntries(entries);
}
