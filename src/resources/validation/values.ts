/** Checks of single values that many validators share. */
import { isIP } from 'node:net';
import { invalid, notSupported, required } from '../field-errors.ts';
import type { FieldError } from '../types.ts';
import {
  dnsLabelProblems,
  dnsSubdomainProblems,
  portNameProblems,
  portNumberProblems,
} from './names.ts';

/** Largest value of a 32-bit field. */
export const INT32_MAX = 2 ** 31 - 1;

/** Failures if a count is negative. Absent is fine. */
export function validateNonNegative(value: number | undefined, field: string): FieldError[] {
  if (value === undefined || value >= 0) return [];
  return [invalid(field, value, 'must be greater than or equal to 0')];
}

/** Failures if a required choice is absent or not among `supported`. */
export function validateChoice(
  value: string | undefined,
  supported: readonly string[],
  field: string,
): FieldError[] {
  if (value === undefined || value === '') return [required(field)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** As `validateChoice`, but absent is fine. */
export function validateOptionalChoice(
  value: string | undefined,
  supported: readonly string[],
  field: string,
): FieldError[] {
  return value === undefined ? [] : validateChoice(value, supported, field);
}

/** Failures if a name does not fit the grammar; absent is fine. */
export function validateOptionalName(
  value: string | undefined,
  problemsOf: (value: string) => string[],
  field: string,
): FieldError[] {
  if (value === undefined || value === '') return [];
  return problemsOf(value).map((problem) => invalid(field, value, problem));
}

/** Failures if a required name is absent or does not fit the grammar. */
export function validateName(
  value: string | undefined,
  problemsOf: (value: string) => string[],
  field: string,
): FieldError[] {
  if (value === undefined || value === '') return [required(field)];
  return problemsOf(value).map((problem) => invalid(field, value, problem));
}

/** Failures against a DNS label; an empty one is required. */
export function validateDnsLabel(value: string | undefined, field: string): FieldError[] {
  return validateName(value, dnsLabelProblems, field);
}

/** Failures against a DNS subdomain; an empty one is required. */
export function validateDnsSubdomain(value: string | undefined, field: string): FieldError[] {
  return validateName(value, dnsSubdomainProblems, field);
}

/** Failures if a port is neither a number in range nor a port name. */
export function validatePortOrName(port: number | string | undefined, field: string): FieldError[] {
  const problems =
    typeof port === 'string' ? portNameProblems(port) : portNumberProblems(port ?? 0);
  return problems.map((problem) => invalid(field, port ?? 0, problem));
}

/** Failures if a port number is out of range. */
export function validatePortNumber(port: number | undefined, field: string): FieldError[] {
  return portNumberProblems(port ?? 0).map((problem) => invalid(field, port ?? 0, problem));
}

/** Failures if `address` is no IP address. */
export function validateIp(address: string, field: string): FieldError[] {
  if (isIP(address) !== 0) return [];
  return [invalid(field, address, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)')];
}

/** Failures if `block` is no CIDR block. */
export function validateCidr(block: string, field: string): FieldError[] {
  const [address = '', length = '', ...rest] = block.split('/');
  const family = isIP(address);
  const bits = Number(length);
  const fits = /^\d+$/.test(length) && bits <= (family === 4 ? 32 : 128);
  if (family !== 0 && rest.length === 0 && fits) return [];
  return [invalid(field, block, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
}

/** Failures if a path is absolute or climbs out with `..`. */
export function validateLocalPath(path: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path.startsWith('/')) errors.push(invalid(field, path, 'must be a relative path'));
  return [...errors, ...validateNoBacksteps(path, field)];
}

/** Failures if a path contains `..`. */
export function validateNoBacksteps(path: string, field: string): FieldError[] {
  return path.split('/').includes('..') ? [invalid(field, path, "must not contain '..'")] : [];
}
