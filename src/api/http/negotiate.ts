/**
 * Which representation an Accept header asks for. kubectl sends lists of alternatives (Table first, protobuf often, JSON last); the
 * first one we speak wins, in order of quality. Findings are remembered by header text: there are few.
 */

import { failure, unsupportedMediaType } from '../status.ts';
import type { PatchType } from '../types.ts';

export type Format = 'json' | 'yaml';
/** How objects are shown: whole, as rows, or metadata only. */
export type Shape = 'Object' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';

export type Representation = {
  readonly format: Format;
  readonly shape: Shape;
  /** Version of meta.k8s.io for other shapes than Object. */
  readonly metaVersion: 'v1' | 'v1beta1';
  /** Content-Type of the answer. */
  readonly contentType: string;
  /** Stable name, for caches. */
  readonly id: string;
};

const HEADERS_REMEMBERED_MAX = 256;

/** Whole objects as JSON. */
export const PLAIN_JSON: Representation = representation('json', 'Object', 'v1');

const remembered = new Map<string, Representation | 'none'>();

/** The best supported alternative of an Accept header; throws 406 when there is none. */
export function negotiate(accept: string | undefined): Representation {
  if (accept === undefined || accept === '' || accept === '*/*') return PLAIN_JSON;
  let found = remembered.get(accept);
  if (found === undefined) {
    found = choose(accept) ?? 'none';
    if (remembered.size >= HEADERS_REMEMBERED_MAX) remembered.clear();
    remembered.set(accept, found);
  }
  if (found !== 'none') return found;
  throw failure(
    406,
    'NotAcceptable',
    'only the following media types are accepted: application/json, application/yaml',
  );
}

/** One alternative of an Accept header. */
export type MediaRange = {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
};

/** The alternatives of an Accept header, best first. */
export function mediaRanges(accept: string): readonly MediaRange[] {
  const ranges = accept.split(',').map((part): MediaRange => {
    const [type = '', ...rest] = part.split(';').map((piece) => piece.trim());
    const parameters = new Map<string, string>();
    for (const piece of rest) {
      const equals = piece.indexOf('=');
      if (equals > 0) parameters.set(piece.slice(0, equals).toLowerCase(), piece.slice(equals + 1));
    }
    const quality = Number(parameters.get('q') ?? '1');
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
  });
  return ranges.filter(({ quality }) => quality > 0).sort((a, b) => b.quality - a.quality);
}

function choose(accept: string): Representation | undefined {
  for (const range of mediaRanges(accept)) {
    const format = formatOf(range.type);
    if (format === undefined) continue;
    const shape = range.parameters.get('as');
    if (shape === undefined) return representation(format, 'Object', 'v1');
    const version = range.parameters.get('v') ?? 'v1';
    const group = range.parameters.get('g') ?? 'meta.k8s.io';
    if (!isShape(shape) || group !== 'meta.k8s.io') continue;
    if (version === 'v1' || version === 'v1beta1') return representation(format, shape, version);
  }
  return undefined;
}

function formatOf(type: string): Format | undefined {
  if (type === 'application/json' || type === '*/*' || type === 'application/*') return 'json';
  if (type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml') {
    return 'yaml';
  }
  return undefined;
}

function isShape(shape: string): shape is Exclude<Shape, 'Object'> {
  return (
    shape === 'Table' || shape === 'PartialObjectMetadata' || shape === 'PartialObjectMetadataList'
  );
}

function representation(format: Format, shape: Shape, metaVersion: 'v1' | 'v1beta1') {
  const suffix = shape === 'Object' ? '' : `;as=${shape};g=meta.k8s.io;v=${metaVersion}`;
  const contentType = `application/${format}${suffix}`;
  return { format, shape, metaVersion, contentType, id: contentType };
}

const PATCH_TYPES: ReadonlyMap<string, PatchType> = new Map([
  ['application/json-patch+json', 'json'],
  ['application/merge-patch+json', 'merge'],
  ['application/strategic-merge-patch+json', 'strategic'],
  ['application/apply-patch+yaml', 'apply'],
]);

/** The patch type of a Content-Type header; throws 415 when it is none. */
export function patchTypeOf(contentType: string | undefined): PatchType {
  const found = PATCH_TYPES.get(mediaType(contentType));
  if (found !== undefined) return found;
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: ${[...PATCH_TYPES.keys()].join(', ')}`,
  );
}

/** How a body is written: protobuf is taken, as Go's clients send it, though never given. */
export type BodyFormat = Format | 'protobuf';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';

/** The format of a body by its Content-Type, JSON if there is none; throws 415 for all else. */
export function bodyFormatOf(contentType: string | undefined): BodyFormat {
  const type = contentType === undefined ? 'application/json' : mediaType(contentType);
  const format = type === PROTOBUF ? 'protobuf' : formatOf(type);
  if (format !== undefined) return format;
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, ${PROTOBUF}`,
  );
}

function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
