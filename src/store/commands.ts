/**
 * The bytes that go through the log: one command per entry, msgpack, positional (field names would cost more
 * than small values). Decoding is strict, because apply must give the same answer on every replica
 * whatever it is handed: what is malformed is refused as a whole, and a later version stops the replica.
 */

import { Packr } from 'msgpackr';
import { laterVersion } from '../consensus/versions.ts';
import { messageOf } from '../lib/errors.ts';
import type { SealingInForce } from './sealing.ts';
import type { Check, Operation, Revision, Transaction, TransactionResult } from './types.ts';

/** Who sent a command, and what it needs to take effect at most once (see sessions.ts). */
export type CommandOrigin = {
  /** Random per process start. */
  readonly client: string;
  /** Counts the client's commands, from 1. A retry has the same bytes and so the same number. */
  readonly sequence: number;
  /** The client has the results of everything up to here, and will not retry it. */
  readonly acknowledged: number;
  /** Log index that the client's replica had applied when the command was made. */
  readonly born: number;
};

export type Command = CommandOrigin &
  (
    | {
        readonly kind: 'transaction';
        readonly transaction: Transaction;
        /** The values of the operations `at` these positions are sealed under the data key `under`; as decoded, never to be encoded. */
        readonly sealed?: { readonly under: string; readonly at: readonly number[] };
      }
    | { readonly kind: 'claim'; readonly name: string; readonly term: number }
  );

/** What apply answers. */
export type CommandResult =
  | TransactionResult
  /** The fence is the claimant's; everything up to `revision` precedes the claim. */
  | { readonly kind: 'claimed'; readonly revision: Revision }
  /** Not applied now: too old to tell whether it was applied before, or already acknowledged. */
  | { readonly kind: 'expired' }
  /** Not applied: a value in it is sealed under a key that is not in force here, or should be sealed and is not. */
  | { readonly kind: 'stale-key' }
  /** Not applied: this version cannot read it. */
  | { readonly kind: 'invalid'; readonly reason: string };

const FORMAT_VERSION = 1;
/** Written only for commands with sealed values, which exist only where every member can read them. */
const FORMAT_VERSION_SEALED = 2;
const KIND_TRANSACTION = 0;
const KIND_CLAIM = 1;
const CHECK_ABSENT = 0;
const CHECK_PRESENT = -1;
/** Most characters of a key. */
export const KEY_LENGTH_MAX = 1024;
/** Most checks, and most operations, of one transaction. */
export const TRANSACTION_ITEMS_MAX = 10_000;

const packr = new Packr({ useRecords: false, mapsAsObjects: true });

/** Encodes for the log, with values sealed as `sealing` demands. */
export function encodeCommand(command: Command, sealing?: SealingInForce): Buffer {
  const { client, sequence, acknowledged, born } = command;
  const head = [client, sequence, acknowledged, born];
  if (command.kind === 'claim') {
    return packr.pack([FORMAT_VERSION, ...head, KIND_CLAIM, command.name, command.term]);
  }
  const { checks, fence } = command.transaction;
  const sealed = sealing?.sealOperations(command, command.transaction.operations);
  const operations = sealed?.operations ?? command.transaction.operations;
  return packr.pack([
    sealed === undefined ? FORMAT_VERSION : FORMAT_VERSION_SEALED,
    ...head,
    KIND_TRANSACTION,
    checks.flatMap((check) => [check.key, checkNumber(check)]),
    operations.map((operation) =>
      operation.op === 'put'
        ? [operation.key, operation.value, operation.revisionOffset]
        : [operation.key],
    ),
    fence === undefined ? null : [fence.name, fence.term],
    ...(sealed === undefined ? [] : [sealed.under, sealed.at]),
  ]);
}

/**
 * Decodes and validates; a string says what is wrong. The values share memory with `data`. Throws version-unsupported for a
 * command of a later version: members that know it take it, and whoever passed over it would part from them.
 */
export function decodeCommand(data: Uint8Array): Command | string {
  let fields: unknown;
  try {
    fields = packr.unpack(data);
  } catch (error) {
    return `not msgpack: ${messageOf(error)}`;
  }
  if (!Array.isArray(fields)) return 'not a command';
  const [version, client, sequence, acknowledged, born, kind, ...body] = fields as unknown[];
  if (Number.isSafeInteger(version) && (version as number) > FORMAT_VERSION_SEALED) {
    throw laterVersion(
      `the log holds a command of format ${version}`,
      `formats 1 to ${FORMAT_VERSION_SEALED}`,
    );
  }
  if (version !== FORMAT_VERSION && version !== FORMAT_VERSION_SEALED) {
    return `command format ${String(version)} is not supported`;
  }
  if (typeof client !== 'string' || client === '') return 'bad client';
  if (!isCount(sequence) || !isCount(acknowledged) || !isCount(born)) return 'bad origin';
  if (sequence <= acknowledged) return 'a command cannot be acknowledged before it is answered';
  const origin = { client, sequence, acknowledged, born };
  if (kind === KIND_CLAIM) {
    const [name, term] = body;
    if (typeof name !== 'string' || !isCount(term)) return 'bad claim';
    return { ...origin, kind: 'claim', name, term };
  }
  if (kind !== KIND_TRANSACTION) return `command kind ${String(kind)} is not supported`;
  const transaction = decodeTransaction(body);
  if (typeof transaction === 'string') return transaction;
  if (version === FORMAT_VERSION) return { ...origin, kind: 'transaction', transaction };
  const [under, at] = body.slice(3);
  if (typeof under !== 'string' || !Array.isArray(at) || !at.every(isCount)) return 'bad seal';
  return { ...origin, kind: 'transaction', transaction, sealed: { under, at } };
}

/** Why a transaction would be refused at apply, or undefined if it is well-formed. */
export function transactionFault(transaction: Transaction): string | undefined {
  const { checks, operations } = transaction;
  if (checks.length > TRANSACTION_ITEMS_MAX) return 'too many checks';
  if (operations.length > TRANSACTION_ITEMS_MAX) return 'too many operations';
  for (const { key } of checks) if (!isKey(key)) return 'bad key in a check';
  for (const operation of operations) {
    if (!isKey(operation.key)) return 'bad key in an operation';
    if (operation.op !== 'put') continue;
    const { value, revisionOffset } = operation;
    if (!(value instanceof Uint8Array)) return 'a value is bytes';
    if (!Number.isInteger(revisionOffset) || revisionOffset < -1) return 'bad revision offset';
    if (revisionOffset > value.length) return 'a revision offset lies within its value';
  }
  return undefined;
}

function decodeTransaction(body: readonly unknown[]): Transaction | string {
  const [rawChecks, rawOperations, rawFence] = body;
  if (!Array.isArray(rawChecks) || rawChecks.length % 2 !== 0) return 'bad checks';
  if (!Array.isArray(rawOperations)) return 'bad operations';
  const checks: Check[] = [];
  for (let at = 0; at < rawChecks.length; at += 2) {
    const check = decodeCheck(rawChecks[at], rawChecks[at + 1]);
    if (check === undefined) return 'bad check';
    checks.push(check);
  }
  const operations: Operation[] = [];
  for (const raw of rawOperations as unknown[]) {
    if (!Array.isArray(raw)) return 'bad operation';
    const [key, value, revisionOffset] = raw as unknown[];
    if (raw.length === 1) operations.push({ op: 'delete', key: key as string });
    else {
      operations.push({
        op: 'put',
        key: key as string,
        value: value as Uint8Array,
        revisionOffset: revisionOffset as number,
      });
    }
  }
  const transaction = { checks, operations };
  const fault = transactionFault(transaction);
  if (fault !== undefined) return fault;
  if (rawFence === null) return transaction;
  if (!Array.isArray(rawFence)) return 'bad fence';
  const [name, term] = rawFence as unknown[];
  if (typeof name !== 'string' || !isCount(term)) return 'bad fence';
  return { ...transaction, fence: { name, term } };
}

function decodeCheck(key: unknown, number: unknown): Check | undefined {
  if (typeof key !== 'string' || !Number.isSafeInteger(number)) return undefined;
  if (number === CHECK_ABSENT) return { key, is: 'absent' };
  if (number === CHECK_PRESENT) return { key, is: 'present' };
  if ((number as number) < 0) return undefined;
  return { key, is: 'at', revision: number as Revision };
}

/** A revision, 0 for absence (as a revision of 0 would mean), -1 for presence. */
function checkNumber(check: Check): number {
  if (check.is === 'absent') return CHECK_ABSENT;
  return check.is === 'present' ? CHECK_PRESENT : check.revision;
}

function isKey(key: unknown): key is string {
  return (
    typeof key === 'string' && key.startsWith('/') && key.length > 1 && key.length <= KEY_LENGTH_MAX
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
