/**
 * What of the state leaves this process only sealed, and under which key (see src/sealing/README.md). The record that says so is
 * an object of the state like any other. Exactly one is in force at each place of the log: every replica can tell from the
 * entries before a command under which key its values must be sealed, and refuses any other in the same way.
 */

import { SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import type { ClusterKey } from '../sealing/cluster-key.ts';
import type { DataKey } from '../sealing/data-key.ts';
import { DEFAULT_KINDS, decodeRecord, type SealingRecord } from '../sealing/record.ts';
import type { Command, CommandOrigin, CommandResult } from './commands.ts';
import { internalKey, resourcePrefix } from './keys.ts';
import type { SealingImage } from './snapshot.ts';
import type { Key, Operation, Revision, Transaction } from './types.ts';

/** Where the record is. */
export const SEALING_KEY = internalKey('sealing', 'record');

/** Objects of our own that hold secrets: sealed whenever anything is. */
const INTERNAL_PREFIXES = ['/skein/join-tokens/'];

type TransactionCommand = Extract<Command, { readonly kind: 'transaction' }>;

/** A transaction's operations with sealed values. */
export type SealedOperations = {
  readonly operations: readonly Operation[];
  /** The data key. */
  readonly under: string;
  /** Positions of the operations whose values are sealed. */
  readonly at: readonly number[];
};

/** What opening a command comes to. */
export type Opened =
  | {
      readonly kind: 'opened';
      readonly transaction: Transaction;
      /** The record that is in force once the transaction is applied, if it brings one. */
      readonly record: Uint8Array | undefined;
    }
  | Extract<CommandResult, { readonly kind: 'stale-key' | 'invalid' }>;

/** One record, ready for use. Immutable. */
export class SealingInForce {
  readonly record: SealingRecord;
  /** The record as it is stored. */
  readonly bytes: Buffer;
  readonly #key: DataKey | undefined;
  readonly #prefixes: readonly string[];

  /** Throws key-missing, with the remedy, when the data key cannot be unwrapped here. */
  constructor(bytes: Uint8Array, clusterKey: ClusterKey | undefined) {
    const record = decodeRecord(bytes);
    if (typeof record === 'string') throw new SkeinError('data-damaged', record);
    this.record = record;
    this.bytes = Buffer.from(bytes);
    this.#key = record.key === null ? undefined : unwrapped(record.key, clusterKey);
    this.#prefixes = this.#key === undefined ? [] : prefixesOf(record.kinds);
  }

  /** True if values of `key` are sealed. */
  seals(key: Key): boolean {
    return startsWithAny(key, this.#prefixes);
  }

  /** A snapshot's value. Its place is the object and its revision. */
  sealObject(key: Key, revision: Revision, value: Uint8Array): Buffer {
    invariant(this.#key !== undefined, 'only what is sealed has a key');
    return this.#key.seal(objectPlace(key, revision), value);
  }

  /** Undefined when the value was changed or belongs to another object or revision. */
  openObject(key: Key, revision: Revision, sealed: Uint8Array): Buffer | undefined {
    return this.#key?.open(objectPlace(key, revision), sealed);
  }

  /** Undefined when nothing in it has to be sealed. */
  sealOperations(
    origin: CommandOrigin,
    operations: readonly Operation[],
  ): SealedOperations | undefined {
    const dataKey = this.#key;
    if (dataKey === undefined) return undefined;
    const at: number[] = [];
    const sealed = operations.map((operation, position) => {
      if (operation.op !== 'put' || !this.seals(operation.key)) return operation;
      at.push(position);
      const place = commandPlace(origin, position, operation.key);
      const value = dataKey.seal(place, operation.value);
      // What could not be opened would stop every member that applies it: better to learn it here.
      const opens = dataKey.open(place, value)?.equals(operation.value) ?? false;
      invariant(opens, 'a sealed value opens again', { key: operation.key });
      return { ...operation, value };
    });
    return at.length === 0 ? undefined : { operations: sealed, under: dataKey.id, at };
  }

  /** Whether the command is sealed as this record wants it, then its plaintext; throws data-damaged if it cannot be opened. */
  openOperations(command: TransactionCommand): readonly Operation[] | undefined {
    const { sealed, transaction } = command;
    const { operations } = transaction;
    const mustBeSealed = ({ op, key }: Operation) => op === 'put' && this.seals(key);
    if (sealed === undefined) return operations.some(mustBeSealed) ? undefined : operations;
    if (sealed.under !== this.#key?.id) return undefined;
    const at = new Set(sealed.at);
    const plain = (operation: Operation, position: number) =>
      mustBeSealed(operation) && !at.has(position);
    if (operations.some(plain)) return undefined;
    return operations.map((operation, position) =>
      at.has(position) ? this.#openOperation(command, position, operation) : operation,
    );
  }

  #openOperation(origin: CommandOrigin, position: number, operation: Operation): Operation {
    if (operation.op !== 'put') return operation;
    const value = this.#key?.open(commandPlace(origin, position, operation.key), operation.value);
    if (value !== undefined) return { ...operation, value };
    throw new SkeinError(
      'data-damaged',
      `the value of ${operation.key} in the log cannot be opened: it was changed after it was sealed. Remove the member from the cluster, delete its data directory and join it anew`,
    );
  }
}

/** The record in force on one replica, and from where on the log holds nothing else. */
export class Sealing {
  readonly #clusterKey: ClusterKey | undefined;
  readonly #listeners = new Set<() => void>();
  #inForce: SealingInForce | undefined;
  #since = 0;

  constructor(clusterKey: ClusterKey | undefined) {
    this.#clusterKey = clusterKey;
  }

  get inForce(): SealingInForce | undefined {
    return this.#inForce;
  }

  /**
   * Newest log position that may hold anything sealed otherwise than the record says: the record's own, or that of a
   * command which came too late. What is behind it, and a snapshot at or behind it, is as it should be.
   */
  get since(): number {
    return this.#since;
  }

  /** Calls `listener` after the record or `since` changed, in the turn of the apply. Returns how to end that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * True if `transaction` would go into the log in plain although the cluster may have decided otherwise: this replica knows of
   * no record, perhaps because it is behind. Whoever writes catches up first.
   */
  isUncertain({ operations }: Transaction): boolean {
    if (this.#clusterKey === undefined || this.#inForce !== undefined) return false;
    return operations.some(({ op, key }) => op === 'put' && startsWithAny(key, DEFAULT_PREFIXES));
  }

  /** Judges and opens a command at log position `index`, before any of it takes effect. */
  open(command: TransactionCommand, index: number): Opened {
    const operations = this.#inForce
      ? this.#inForce.openOperations(command)
      : command.sealed === undefined && command.transaction.operations;
    if (!operations) {
      this.#moved(index);
      return { kind: 'stale-key' };
    }
    let record: Uint8Array | undefined;
    for (const operation of operations) {
      if (operation.op === 'put' && operation.revisionOffset > operation.value.length) {
        return { kind: 'invalid', reason: 'a revision offset lies within its value' };
      }
      if (operation.key !== SEALING_KEY) continue;
      const decoded = operation.op === 'put' ? decodeRecord(operation.value) : 'it is not deleted';
      if (typeof decoded === 'string') return { kind: 'invalid', reason: decoded };
      if (operation.op === 'put') record = operation.value;
    }
    const same = operations === command.transaction.operations;
    const transaction = same ? command.transaction : { ...command.transaction, operations };
    return { kind: 'opened', transaction, record };
  }

  /** A record was applied at `index`. Throws key-missing when this member cannot follow. */
  adopt(record: Uint8Array, index: number): void {
    this.#inForce = new SealingInForce(record, this.#clusterKey);
    this.#moved(index);
  }

  /** For a snapshot; undefined where nothing was ever sealed. */
  image(): SealingImage | undefined {
    return this.#inForce && { inForce: this.#inForce, since: this.#since };
  }

  /** The state came from a snapshot. */
  restore(image: SealingImage | undefined): void {
    this.#inForce = image?.inForce;
    this.#moved(image?.since ?? 0);
  }

  #moved(since: number): void {
    this.#since = since;
    for (const listener of this.#listeners) listener();
  }
}

const objectPlace = (key: Key, revision: Revision): string => `object ${revision} ${key}`;

/** Unique, because a client's number never comes twice; a key begins with a slash, so the parts cannot be mixed up. */
const commandPlace = ({ client, sequence }: CommandOrigin, at: number, key: Key): string =>
  `command ${client} ${sequence} ${at} ${key}`;

function unwrapped(
  key: NonNullable<SealingRecord['key']>,
  clusterKey: ClusterKey | undefined,
): DataKey {
  if (clusterKey !== undefined) return clusterKey.unwrap(key);
  const text = `secrets are sealed under cluster key ${key.clusterKey}, and no cluster key was given`;
  throw new SkeinError('key-missing', text);
}

/** `secrets` is `/core/secrets/`, `widgets.example.com` is `/example.com/widgets/`. */
function prefixesOf(kinds: readonly string[]): readonly string[] {
  const named = kinds.map((kind) => {
    const dot = kind.indexOf('.');
    return dot < 0
      ? resourcePrefix('', kind)
      : resourcePrefix(kind.slice(dot + 1), kind.slice(0, dot));
  });
  return [...named, ...INTERNAL_PREFIXES];
}

const DEFAULT_PREFIXES = prefixesOf(DEFAULT_KINDS);

function startsWithAny(key: Key, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) if (key.startsWith(prefix)) return true;
  return false;
}
