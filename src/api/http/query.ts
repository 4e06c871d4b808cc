/** Query parameters as the verbs' options. Values that cannot be understood are a 400 in upstream's words. */

import { badRequest } from '../status.ts';
import type {
  DeleteOptions,
  FieldValidation,
  GetOptions,
  ListOptions,
  Propagation,
  WatchOptions,
} from '../types.ts';

/** What follows the question mark. Parameters that are given twice keep their first value. */
export class Query {
  static readonly none = new Query('');
  readonly #params: URLSearchParams | undefined;

  constructor(text: string) {
    this.#params = text === '' ? undefined : new URLSearchParams(text);
  }

  /** The value, or undefined if absent or empty. */
  text(name: string): string | undefined {
    const value = this.#params?.get(name);
    return value === null || value === '' ? undefined : value;
  }

  all(name: string): readonly string[] {
    return this.#params?.getAll(name) ?? [];
  }

  /** As Go's API machinery reads booleans: present and empty is true, `false` and `0` are false. */
  flag(name: string): boolean {
    return this.optionalFlag(name) ?? false;
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.#params?.get(name);
    if (value === undefined || value === null) return undefined;
    return value !== '0' && value.toLowerCase() !== 'false';
  }

  /** A whole number; 400 if it is none. */
  whole(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^-?\d{1,15}$/.test(value)) {
      throw badRequest(`strconv.ParseInt: parsing "${value}": invalid syntax (parameter ${name})`);
    }
    return Number(value);
  }
}

export function getOptions(query: Query): GetOptions {
  return optional({ resourceVersion: query.text('resourceVersion') });
}

export function listOptions(query: Query): ListOptions {
  return optional({
    labelSelector: query.text('labelSelector'),
    fieldSelector: query.text('fieldSelector'),
    limit: query.whole('limit'),
    continueToken: query.text('continue'),
    resourceVersion: query.text('resourceVersion'),
    resourceVersionMatch: query.text('resourceVersionMatch'),
  });
}

export function watchOptions(query: Query): WatchOptions {
  return optional({
    labelSelector: query.text('labelSelector'),
    fieldSelector: query.text('fieldSelector'),
    resourceVersion: query.text('resourceVersion'),
    resourceVersionMatch: query.text('resourceVersionMatch'),
    allowWatchBookmarks: query.optionalFlag('allowWatchBookmarks'),
    sendInitialEvents: query.optionalFlag('sendInitialEvents'),
    timeoutSeconds: query.whole('timeoutSeconds'),
  });
}

const PROPAGATIONS: readonly string[] = ['Orphan', 'Background', 'Foreground'];

/** Options of a delete: from the body where there is one, and only then from nowhere else; otherwise from the query. */
export function deleteOptions(query: Query, body: unknown): DeleteOptions {
  const given = isRecord(body)
    ? body
    : {
        gracePeriodSeconds: query.whole('gracePeriodSeconds'),
        propagationPolicy: query.text('propagationPolicy'),
        orphanDependents: query.optionalFlag('orphanDependents'),
      };
  const { gracePeriodSeconds: seconds, propagationPolicy: policy } = given;
  const orphan = given.orphanDependents;
  if (seconds !== undefined && seconds !== null && !Number.isInteger(seconds)) {
    throw badRequest('gracePeriodSeconds must be a whole number');
  }
  if (policy !== undefined && policy !== null && !PROPAGATIONS.includes(String(policy))) {
    throw badRequest(
      `invalid propagationPolicy "${String(policy)}": must be one of ${PROPAGATIONS.join(', ')}`,
    );
  }
  const preconditions =
    'preconditions' in given && isRecord(given['preconditions'])
      ? given['preconditions']
      : undefined;
  return optional({
    gracePeriodSeconds: typeof seconds === 'number' ? seconds : undefined,
    propagationPolicy: typeof policy === 'string' ? (policy as Propagation) : undefined,
    orphanDependents: typeof orphan === 'boolean' ? orphan : undefined,
    preconditions:
      preconditions === undefined
        ? undefined
        : optional({
            uid: textOrNone(preconditions['uid']),
            resourceVersion: textOrNone(preconditions['resourceVersion']),
          }),
  });
}

/** True for dryRun=All; any other value is refused. `body` may carry a list, as DeleteOptions do. */
export function dryRunOf(query: Query, body?: unknown): boolean {
  const fromBody = isRecord(body) && Array.isArray(body['dryRun']) ? body['dryRun'] : [];
  const asked = [...query.all('dryRun'), ...fromBody];
  for (const value of asked) {
    if (value === 'All') continue;
    throw badRequest(
      `invalid dryRun: Unsupported value: ${JSON.stringify(value)}: supported values: "All"`,
    );
  }
  return asked.length > 0;
}

const VALIDATIONS: readonly string[] = ['Ignore', 'Warn', 'Strict'];

/** Default Warn. */
export function fieldValidationOf(query: Query): FieldValidation {
  const value = query.text('fieldValidation') ?? 'Warn';
  if (VALIDATIONS.includes(value)) return value as FieldValidation;
  throw badRequest(
    `fieldValidation: Unsupported value: "${value}": supported values: "Ignore", "Strict", "Warn"`,
  );
}

function textOrNone(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

type Optional<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Drops the keys whose value is undefined. */
function optional<T extends object>(values: T): Optional<T> {
  for (const key of Object.keys(values) as (keyof T)[]) {
    if (values[key] === undefined) delete values[key];
  }
  return values as Optional<T>;
}
