/**
 * Label selectors: the text form of `-l` and the list parameter (`app=web,tier in (a,b),!old`), and the object form of
 * specs. Both become a list of requirements that all must hold.
 */
import type { LabelSelector } from './generated/kinds.ts';
import { labelKeyProblems, labelValueProblems } from './validation/names.ts';

export type LabelOperator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

/** One condition on one label. */
export type Requirement = {
  readonly key: string;
  readonly operator: LabelOperator;
  /** One value for `=`, `!=`, `gt`, `lt`; any number for `in`, `notin`; none for `exists`, `!`. */
  readonly values: readonly string[];
};

/** All requirements must hold; none at all selects everything. */
export type Selector = readonly Requirement[];

export type ParsedSelector =
  | { readonly kind: 'ok'; readonly selector: Selector }
  | { readonly kind: 'invalid'; readonly message: string };

/** Longest selector text that is parsed. */
const SELECTOR_LENGTH_MAX = 64 * 1024;

/** Parses the text form. An empty text selects everything. */
export function parseLabelSelector(text: string): ParsedSelector {
  if (text.length > SELECTOR_LENGTH_MAX) {
    return { kind: 'invalid', message: 'unable to parse requirement: selector is too long' };
  }
  const parser = new SelectorParser(text);
  try {
    return { kind: 'ok', selector: parser.parse() };
  } catch (error) {
    if (error instanceof SelectorSyntaxError) return { kind: 'invalid', message: error.message };
    throw error;
  }
}

/** True if `labels` satisfy every requirement. */
export function matchesSelector(
  selector: Selector,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  for (const requirement of selector) {
    if (!meets(requirement, labels)) return false;
  }
  return true;
}

/** The text form of a selector; parsing it gives the selector back. */
export function formatSelector(selector: Selector): string {
  return selector.map(formatRequirement).join(',');
}

/** The requirements of an object-form selector, sorted by key; undefined if an operator is unknown. An empty object selects everything. */
export function requirementsOf(selector: LabelSelector): Selector | undefined {
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push({ key, operator: '=', values: [value] });
  }
  for (const expression of selector.matchExpressions ?? []) {
    const operator = OBJECT_OPERATORS[expression.operator];
    if (operator === undefined) return undefined;
    const values = [...(expression.values ?? [])].sort();
    requirements.push({ key: expression.key, operator, values });
  }
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** True if an object-form selector matches. An absent selector matches nothing, an empty one everything. */
export function matchesLabelSelector(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  if (selector === undefined) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels?.[key] !== value) return false;
  }
  if (selector.matchExpressions === undefined) return true;
  const requirements = requirementsOf({ matchExpressions: selector.matchExpressions });
  return requirements !== undefined && matchesSelector(requirements, labels);
}

/** An object-form selector as `kubectl get` shows it; `<none>` if it selects everything. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  const requirements = requirementsOf(selector ?? {});
  if (requirements === undefined) return '<error>';
  return requirements.length === 0 ? '<none>' : formatSelector(requirements);
}

/** A plain map as `kubectl get` shows it: `a=b,c=d`, or `<none>`. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? '<none>' : pairs.sort().join(',');
}

const OBJECT_OPERATORS: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

function meets(requirement: Requirement, labels: Readonly<Record<string, string>> = {}): boolean {
  const { key, operator, values } = requirement;
  const actual = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case '=':
      return actual !== undefined && actual === values[0];
    case '!=':
      return actual !== values[0];
    case 'in':
      return actual !== undefined && values.includes(actual);
    case 'notin':
      return actual === undefined || !values.includes(actual);
    case 'exists':
      return actual !== undefined;
    case '!':
      return actual === undefined;
    case 'gt':
      return isInteger(actual) && Number(actual) > Number(values[0]);
    case 'lt':
      return isInteger(actual) && Number(actual) < Number(values[0]);
  }
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^[+-]?\d+$/.test(text);
}

function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${operator} (${[...values].sort().join(',')})`;
    case 'gt':
      return `${key}>${values[0]}`;
    case 'lt':
      return `${key}<${values[0]}`;
    default:
      return `${key}${operator}${values[0]}`;
  }
}

class SelectorSyntaxError extends Error {}

/** A recursive-descent parser of: requirement *( "," requirement ). */
class SelectorParser {
  readonly #tokens: readonly string[];
  #position = 0;

  constructor(text: string) {
    this.#tokens = text.match(/==|!=|[(),=!<>]|[^\s(),=!<>]+/g) ?? [];
  }

  parse(): Selector {
    const requirements: Requirement[] = [];
    if (this.#peek() === '') return requirements;
    for (;;) {
      requirements.push(this.#requirement());
      const next = this.#take();
      if (next === '') return requirements;
      if (next !== ',') throw this.#unexpected(next, "',' or 'end of string'");
      // A comma at the end is an error, as upstream has it.
      if (this.#peek() === '') throw this.#unexpected('', 'identifier after ,');
    }
  }

  #requirement(): Requirement {
    if (this.#peek() === '!') {
      this.#take();
      return { key: this.#key(), operator: '!', values: [] };
    }
    const key = this.#key();
    const next = this.#peek();
    if (next === '' || next === ',') return { key, operator: 'exists', values: [] };
    this.#take();
    switch (next) {
      case '=':
      case '==':
        return { key, operator: '=', values: [this.#value(key)] };
      case '!=':
        return { key, operator: '!=', values: [this.#value(key)] };
      case '>':
      case '<':
        return { key, operator: next === '>' ? 'gt' : 'lt', values: [this.#number(key)] };
      case 'in':
      case 'notin':
        return { key, operator: next, values: this.#set(key) };
      default:
        throw this.#unexpected(next, 'in, notin, =, ==, !=, gt, lt');
    }
  }

  #key(): string {
    const key = this.#take();
    if (!isWord(key)) throw this.#unexpected(key, 'identifier');
    const problems = labelKeyProblems(key);
    if (problems.length > 0) {
      throw new SelectorSyntaxError(
        `unable to parse requirement: key: Invalid value: ${JSON.stringify(key)}: ${problems.join('; ')}`,
      );
    }
    return key;
  }

  /** A value, which may be empty (`a=`). */
  #value(key: string): string {
    const next = this.#peek();
    if (next === '' || next === ',') return '';
    this.#take();
    if (!isWord(next)) throw this.#unexpected(next, 'identifier');
    return this.#checked(key, next);
  }

  #number(key: string): string {
    const value = this.#value(key);
    if (isInteger(value)) return value;
    throw new SelectorSyntaxError(
      `unable to parse requirement: values[0][${key}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
    );
  }

  #set(key: string): string[] {
    const open = this.#take();
    if (open !== '(') throw this.#unexpected(open, "'('");
    const values = new Set<string>();
    for (;;) {
      const next = this.#take();
      if (next === ')' || next === ',') {
        // An empty place stands for the empty string: (a,) and ().
        values.add('');
        if (next === ')') break;
        continue;
      }
      if (!isWord(next)) throw this.#unexpected(next, "',', or identifier");
      values.add(this.#checked(key, next));
      const after = this.#take();
      if (after === ')') break;
      if (after !== ',') throw this.#unexpected(after, "',' or ')'");
    }
    return [...values].sort();
  }

  #checked(key: string, value: string): string {
    const problems = labelValueProblems(value);
    if (problems.length === 0) return value;
    throw new SelectorSyntaxError(
      `unable to parse requirement: values[0][${key}]: Invalid value: ${JSON.stringify(value)}: ${problems.join('; ')}`,
    );
  }

  #peek(): string {
    return this.#tokens[this.#position] ?? '';
  }

  #take(): string {
    const token = this.#peek();
    this.#position += 1;
    return token;
  }

  #unexpected(found: string, expected: string): SelectorSyntaxError {
    return new SelectorSyntaxError(
      `unable to parse requirement: found '${found}', expected: ${expected}`,
    );
  }
}

function isWord(token: string): boolean {
  return token !== '' && !/^(==|!=|[(),=!<>])$/.test(token);
}
