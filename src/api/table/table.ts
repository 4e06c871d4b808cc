/**
 * Objects as rows: what `kubectl get` asks for. The server knows the columns of each kind; a row carries its cells and, by
 * includeObject, nothing, the metadata or all of its object.
 */

import type { Column, KubeObject, ResourceKind } from '../../resources/types.ts';
import type { StoredObject } from '../../store/types.ts';
import { badRequest } from '../status.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export type TableOptions = {
  readonly kind: ResourceKind;
  readonly metaVersion: 'v1' | 'v1beta1';
  readonly include: IncludeObject;
  readonly nowMs: number;
  /** The JSON of an object in the version asked for. */
  readonly bytesOf: (item: StoredObject) => Buffer;
};

/** The includeObject parameter; default Metadata. */
export function includeObjectOf(value: string | undefined): IncludeObject {
  if (value === undefined) return 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(
    `includeObject: Unsupported value: "${value}": supported values: "Metadata", "None", "Object"`,
  );
}

/** Everything before the rows, `metadata` being the list's metadata as JSON. */
export function tableHead(options: TableOptions, metadata: string, withColumns: boolean): string {
  const columns = withColumns ? columnsJson(options.kind) : '[]';
  return `{"kind":"Table","apiVersion":"meta.k8s.io/${options.metaVersion}","metadata":${metadata},"columnDefinitions":${columns},"rows":[`;
}

/** What ends a table. */
export const TABLE_TAIL = ']}';

/** One row. */
export function tableRow(options: TableOptions, item: StoredObject): string {
  const object = item.glance() as KubeObject;
  const cells = JSON.stringify(options.kind.cells(object, options.nowMs));
  switch (options.include) {
    case 'None':
      return `{"cells":${cells},"object":null}`;
    case 'Metadata':
      return `{"cells":${cells},"object":${metadataOf(object, options.metaVersion)}}`;
    case 'Object':
      return `{"cells":${cells},"object":${options.bytesOf(item).toString()}}`;
  }
}

/** A whole table with the given rows. */
export function table(
  options: TableOptions,
  items: readonly StoredObject[],
  metadata: string,
  withColumns = true,
): Buffer {
  const rows = items.map((item) => tableRow(options, item));
  return Buffer.from(`${tableHead(options, metadata, withColumns)}${rows.join(',')}${TABLE_TAIL}`);
}

/** An object reduced to its metadata, as JSON. */
export function partialMetadata(item: StoredObject, metaVersion: 'v1' | 'v1beta1'): string {
  return metadataOf(item.glance() as KubeObject, metaVersion);
}

function metadataOf({ metadata }: KubeObject, metaVersion: string): string {
  return `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/${metaVersion}","metadata":${JSON.stringify(metadata)}}`;
}

const columnsOf = new WeakMap<ResourceKind, string>();

function columnsJson(kind: ResourceKind): string {
  let json = columnsOf.get(kind);
  if (json === undefined) {
    json = JSON.stringify(kind.columns.map(columnDefinition));
    columnsOf.set(kind, json);
  }
  return json;
}

function columnDefinition(column: Column) {
  const { name, type, format, description, priority } = column;
  return { name, type, format: format ?? '', description, priority };
}
