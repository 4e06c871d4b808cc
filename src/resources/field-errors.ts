/**
 * Validation failures and their wording. The words are upstream's, since people and programs search
 * for them: `spec.replicas: Invalid value: -1: must be greater than or equal to 0`.
 */
import type { FieldError } from './types.ts';

/** Longest list of failures named in one message; the causes carry all of them. */
const MESSAGE_ERRORS_MAX = 50;

const TYPE_TEXT: Readonly<Record<FieldError['type'], string>> = {
  Invalid: 'Invalid value',
  Required: 'Required value',
  NotSupported: 'Unsupported value',
  Duplicate: 'Duplicate value',
  Forbidden: 'Forbidden',
  TooLong: 'Too long',
  TooMany: 'Too many',
  NotFound: 'Not found',
  TypeInvalid: 'Invalid value',
  InternalError: 'Internal error',
};

const REASON: Readonly<Record<FieldError['type'], string>> = {
  Invalid: 'FieldValueInvalid',
  Required: 'FieldValueRequired',
  NotSupported: 'FieldValueNotSupported',
  Duplicate: 'FieldValueDuplicate',
  Forbidden: 'FieldValueForbidden',
  TooLong: 'FieldValueTooLong',
  TooMany: 'FieldValueTooMany',
  NotFound: 'FieldValueNotFound',
  TypeInvalid: 'FieldValueTypeInvalid',
  InternalError: 'InternalError',
};

/** Types whose sentence does not repeat the value. */
const WITHOUT_VALUE: ReadonlySet<FieldError['type']> = new Set([
  'Required',
  'Forbidden',
  'TooLong',
  'InternalError',
  'TypeInvalid',
]);

/** The value stands in the right place but is not acceptable. */
export function invalid(field: string, badValue: unknown, detail: string): FieldError {
  return { type: 'Invalid', field, badValue, detail };
}

/** A value is missing. */
export function required(field: string, detail = ''): FieldError {
  return { type: 'Required', field, detail };
}

/** The value is not one of `supported`, which are named in the order given. */
export function notSupported(
  field: string,
  badValue: unknown,
  supported: readonly string[],
): FieldError {
  const detail =
    supported.length === 0
      ? ''
      : `supported values: ${supported.map((value) => JSON.stringify(value)).join(', ')}`;
  return { type: 'NotSupported', field, badValue, detail };
}

/** A value that must be unique occurs again. */
export function duplicate(field: string, badValue: unknown): FieldError {
  return { type: 'Duplicate', field, badValue, detail: '' };
}

/** The field may not be set here, or not changed. */
export function forbidden(field: string, detail: string): FieldError {
  return { type: 'Forbidden', field, detail };
}

/** A string or map is longer than `max` bytes. */
export function tooLong(field: string, max: number): FieldError {
  return { type: 'TooLong', field, detail: `may not be more than ${max} bytes` };
}

/** A list has more than `max` items. */
export function tooMany(field: string, actual: number, max: number): FieldError {
  return { type: 'TooMany', field, badValue: actual, detail: `must have at most ${max} items` };
}

/** The value names something that does not exist. */
export function notFound(field: string, badValue: unknown): FieldError {
  return { type: 'NotFound', field, badValue, detail: '' };
}

/** The sentence without the field, as a Status cause carries it. */
export function fieldErrorBody(error: FieldError): string {
  let text = TYPE_TEXT[error.type];
  if (!WITHOUT_VALUE.has(error.type)) text += `: ${valueText(error.badValue)}`;
  return error.detail === '' ? text : `${text}: ${error.detail}`;
}

/** The whole sentence: `field: body`. */
export function fieldErrorText(error: FieldError): string {
  return `${error.field}: ${fieldErrorBody(error)}`;
}

/** The reason of a Status cause: `FieldValueInvalid` and the like. */
export function fieldErrorReason(error: FieldError): string {
  return REASON[error.type];
}

/** All failures in one message: the bare sentence if there is one, `[a, b]` if more. Repeated sentences are said once. */
export function fieldErrorsMessage(errors: readonly FieldError[]): string {
  const texts = [...new Set(errors.map(fieldErrorText))];
  if (texts.length === 1) return texts[0] ?? '';
  const shown = texts.slice(0, MESSAGE_ERRORS_MAX);
  const more = texts.length - shown.length;
  return `[${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}]`;
}

function valueText(value: unknown): string {
  return value === undefined ? 'null' : JSON.stringify(value);
}
