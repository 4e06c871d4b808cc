/**
 * Bodies into values. JSON and YAML; a text that is neither well-formed nor an object is a 400 worded as upstream
 * words it. Keys that stand twice are an error, a warning or nothing, by fieldValidation.
 */

import { messageOf } from '../../lib/errors.ts';
import { decodeProtobuf } from '../protobuf/decode.ts';
import { type ApiError, badRequest } from '../status.ts';
import type { FieldValidation } from '../types.ts';
import { NESTING_MAX, requireShallow } from '../verbs/json.ts';
import { duplicateKeys } from './duplicate-keys.ts';
import type { BodyFormat } from './negotiate.ts';
import { parseYamlAside } from './yaml-thread.ts';

export type DecodeOptions = {
  /** Kind named in errors: `must be of type Pod`. */
  readonly expected: string;
  readonly fieldValidation: FieldValidation;
  /** Gets one text per duplicate field under Warn. */
  readonly warnings: string[];
};

const SUMMARY_CHARS = 30;

/** The value of a body. Rejects with ApiError 400. */
export async function decodeBody(
  bytes: Buffer,
  format: BodyFormat,
  options: DecodeOptions,
): Promise<unknown> {
  const value = await decode(bytes, format, options);
  // A level takes a byte at least.
  if (bytes.length > NESTING_MAX) requireShallow(value);
  return value;
}

async function decode(bytes: Buffer, format: BodyFormat, options: DecodeOptions): Promise<unknown> {
  if (format === 'protobuf') return decodeBinary(bytes, options);
  const text = bytes.toString('utf8');
  // A patch or an object sent as YAML is often JSON, which parses far faster.
  if (format === 'yaml' && !/^\s*\{/.test(text)) return decodeYaml(text, options);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (format === 'yaml') return decodeYaml(text, options);
    const why = text.trim() === '' ? 'unexpected end of JSON input' : messageOf(error);
    throw unrecognized(text, `couldn't get version/kind; json parse error: ${why}`, options);
  }
  if (options.fieldValidation !== 'Ignore') report(duplicateKeys(text), options);
  return value;
}

function decodeBinary(bytes: Buffer, options: DecodeOptions): unknown {
  try {
    return decodeProtobuf(bytes);
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${options.expected}): ${messageOf(error)}`,
    );
  }
}

async function decodeYaml(text: string, options: DecodeOptions): Promise<unknown> {
  const outcome = await parseYamlAside(text);
  if (outcome.kind === 'failed') throw unrecognized(text, outcome.why, options);
  if (options.fieldValidation !== 'Ignore') report(outcome.duplicates, options);
  return outcome.value;
}

function report(duplicates: readonly string[], options: DecodeOptions): void {
  if (duplicates.length === 0) return;
  const texts = duplicates.map((path) => `duplicate field "${path}"`);
  if (options.fieldValidation === 'Strict') {
    throw badRequest(`strict decoding error: ${texts.join(', ')}`);
  }
  options.warnings.push(...texts);
}

function unrecognized(text: string, why: string, options: DecodeOptions): ApiError {
  return badRequest(
    `the object provided is unrecognized (must be of type ${options.expected}): ${why} (${summary(text)})`,
  );
}

/** The beginning of a text as upstream quotes it: readable if it looks like JSON, hexadecimal otherwise. */
function summary(text: string): string {
  if (text === '') return '<empty>';
  if (!text.startsWith('{')) {
    return `0x${Buffer.from(text)
      .subarray(0, SUMMARY_CHARS / 2)
      .toString('hex')}`;
  }
  return text.length > SUMMARY_CHARS ? `${text.slice(0, SUMMARY_CHARS)} ...` : text;
}
