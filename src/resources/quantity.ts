/**
 * Resource quantities: `100m`, `1.5`, `64Mi`, `1e3`. Held exactly, in billionths; finer input is rounded up, as upstream does.
 * The canonical form has no fraction and the largest suffix that loses nothing: `0.1` is `100m`, `1024Mi` is `1Gi`.
 */

/** How a quantity is written: with powers of ten, powers of two, or an exponent. */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

export type Quantity = { readonly nanos: bigint; readonly format: QuantityFormat };

const NANO = 1_000_000_000n;
const NANO_DIGITS = 9;
/** Quantities are capped here, like upstream's 64-bit values. */
const NANOS_MAX = (2n ** 63n - 1n) * NANO;

const SYNTAX = /^([+-]?)(\d*)(?:\.(\d*))?((?:[numkMGTPE]|[KMGTPE]i)?|[eE][+-]?\d+)$/;
const DECIMAL_EXPONENT: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY_EXPONENT: Readonly<Record<string, number>> = {
  Ki: 10,
  Mi: 20,
  Gi: 30,
  Ti: 40,
  Pi: 50,
  Ei: 60,
};
const DECIMAL_SUFFIXES = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'] as const;
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const;
/** Exponents beyond this overflow any quantity; computing them would cost memory. */
const EXPONENT_MAX = 40;

/** Parsed texts repeat endlessly (`100m`, `64Mi`): remembering them spares the bigint work. */
const PARSED_MAX = 2000;
const parsed = new Map<string, Quantity>();

/** Why a text is not a quantity, in upstream's words. */
export const QUANTITY_SYNTAX_MESSAGE =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Parses a quantity; undefined if `value` is none. Numbers are read as their decimal text. */
export function parseQuantity(value: string | number): Quantity | undefined {
  const text = typeof value === 'number' ? String(value) : value.trim();
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const made = parse(text);
  if (made === undefined) return undefined;
  if (parsed.size >= PARSED_MAX) parsed.clear();
  parsed.set(text, made);
  return made;
}

/** As `parseQuantity`; zero for an absent or malformed value. For code behind validation. */
export function quantityOf(value: string | number | undefined): Quantity {
  return (value === undefined ? undefined : parseQuantity(value)) ?? ZERO;
}

/** Zero, in decimal form. */
export const ZERO: Quantity = { nanos: 0n, format: 'DecimalSI' };

/** A quantity of whole units. */
export function quantityFromUnits(units: number | bigint, format: QuantityFormat): Quantity {
  return { nanos: BigInt(units) * NANO, format };
}

/** The canonical text. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return '0';
  // A binary quantity below 1024 or with a fraction cannot use a binary suffix.
  const magnitude = nanos < 0n ? -nanos : nanos;
  const binary = format === 'BinarySI' && nanos % NANO === 0n && magnitude >= 1024n * NANO;
  if (binary) return formatBinary(nanos / NANO);
  return formatDecimal(nanos, format === 'DecimalExponent');
}

/** The canonical text of any accepted spelling; undefined if malformed. */
export function canonicalQuantity(value: string | number): string | undefined {
  const quantity = parseQuantity(value);
  return quantity === undefined ? undefined : formatQuantity(quantity);
}

/** Sum; the format of the first that is not zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Difference; the format of the first that is not zero. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Negative, zero or positive, as for Array.sort. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

/** Whole units, rounded up (bytes of memory, count of pods). */
export function unitsOf(quantity: Quantity): number {
  return Number(ceilDivide(quantity.nanos, NANO));
}

/** Thousandths, rounded up (milli-CPU). */
export function milliOf(quantity: Quantity): number {
  return Number(ceilDivide(quantity.nanos, NANO / 1000n));
}

/** True if the quantity has no fraction. */
export function isWhole(quantity: Quantity): boolean {
  return quantity.nanos % NANO === 0n;
}

function parse(text: string): Quantity | undefined {
  const match = SYNTAX.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', suffix = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const scaled = scale(BigInt(whole + fraction), fraction.length, suffix);
  if (scaled === undefined) return undefined;
  const capped = scaled.nanos > NANOS_MAX ? NANOS_MAX : scaled.nanos;
  return { nanos: sign === '-' ? -capped : capped, format: scaled.format };
}

/** `digits` / 10^`decimals`, times the suffix, in billionths rounded up. */
function scale(digits: bigint, decimals: number, suffix: string): Quantity | undefined {
  const binary = BINARY_EXPONENT[suffix];
  if (binary !== undefined) {
    const nanos = ceilDivide(digits * 2n ** BigInt(binary) * NANO, 10n ** BigInt(decimals));
    return { nanos, format: 'BinarySI' };
  }
  const known = DECIMAL_EXPONENT[suffix];
  const exponent = known ?? Number(suffix.slice(1));
  if (Math.abs(exponent) > EXPONENT_MAX) return undefined;
  const shift = exponent - decimals + NANO_DIGITS;
  const nanos =
    shift >= 0 ? digits * 10n ** BigInt(shift) : ceilDivide(digits, 10n ** BigInt(-shift));
  return { nanos, format: known === undefined ? 'DecimalExponent' : 'DecimalSI' };
}

function formatBinary(units: bigint): string {
  let index = 0;
  let rest = units;
  while (index < BINARY_SUFFIXES.length - 1 && rest % 1024n === 0n) {
    rest /= 1024n;
    index += 1;
  }
  return `${rest}${BINARY_SUFFIXES[index]}`;
}

function formatDecimal(nanos: bigint, exponentForm: boolean): string {
  let index = 0;
  let rest = nanos;
  while (index < DECIMAL_SUFFIXES.length - 1 && rest % 1000n === 0n) {
    rest /= 1000n;
    index += 1;
  }
  if (!exponentForm) return `${rest}${DECIMAL_SUFFIXES[index]}`;
  const exponent = index * 3 - NANO_DIGITS;
  return exponent === 0 ? `${rest}` : `${rest}e${exponent}`;
}

function ceilDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by > 0n ? quotient + 1n : quotient;
}
