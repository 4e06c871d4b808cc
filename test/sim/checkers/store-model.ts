/**
 * The store as its description says it, in the plainest code: the twin that every replica is held against. Commands are read
 * by the product's own decoder; everything behind that is done again here.
 */

import { type Command, type CommandResult, decodeCommand } from '../../../src/store/commands.ts';
import type { Operation } from '../../../src/store/types.ts';

/** One version of a key; `text` has its revision in place. */
export type ModelObject = {
  readonly text: string;
  readonly revision: number;
  readonly createRevision: number;
};
export type ModelEvent = ModelObject & { readonly key: string; readonly type: 'put' | 'delete' };

export type Outcome = {
  readonly result: CommandResult;
  /** What changed, in order. */
  readonly events: readonly ModelEvent[];
  /** Undefined: the entry could not be read. */
  readonly command: Command | undefined;
  /** The same command had taken effect before. */
  readonly repeated: boolean;
};

type Session = { acknowledged: number; readonly results: Map<number, CommandResult> };

/** See the module comment. */
export class StoreModel {
  readonly objects = new Map<string, ModelObject & { readonly operation: Operation }>();
  readonly #fences = new Map<string, number>();
  readonly #sessions = new Map<string, Session>();
  revision = 0;

  apply(data: Uint8Array): Outcome {
    const command = decodeCommand(data);
    if (typeof command === 'string') {
      const result = { kind: 'invalid', reason: command } as const;
      return { result, events: [], command: undefined, repeated: false };
    }
    const { client, sequence, acknowledged } = command;
    const session = this.#sessions.get(client) ?? { acknowledged, results: new Map() };
    this.#sessions.set(client, session);
    const earlier = session.results.get(sequence);
    if (earlier !== undefined && sequence > session.acknowledged) {
      return { result: earlier, events: [], command, repeated: true };
    }
    if (sequence <= session.acknowledged) {
      return { result: { kind: 'expired' }, events: [], command, repeated: true };
    }
    session.acknowledged = Math.max(session.acknowledged, acknowledged);
    const events: ModelEvent[] = [];
    const result = this.#perform(command, events);
    session.results.set(sequence, result);
    return { result, events, command, repeated: false };
  }

  #perform(command: Command, events: ModelEvent[]): CommandResult {
    if (command.kind === 'claim') {
      const newestTerm = this.#fences.get(command.name) ?? 0;
      if (command.term < newestTerm) return { kind: 'fenced', newestTerm };
      this.#fences.set(command.name, command.term);
      return { kind: 'claimed', revision: this.revision as never };
    }
    const { checks, operations, fence } = command.transaction;
    const newestTerm = fence === undefined ? 0 : (this.#fences.get(fence.name) ?? 0);
    if (fence !== undefined && fence.term !== newestTerm) return { kind: 'fenced', newestTerm };
    for (const check of checks) {
      const found = (this.objects.get(check.key)?.revision ?? 0) as never;
      const holds =
        check.is === 'absent'
          ? found === 0
          : check.is === 'present'
            ? found !== 0
            : found === check.revision;
      if (!holds) return { kind: 'conflict', key: check.key, found };
    }
    const revision = this.revision + 1;
    for (const operation of operations) this.#operate(operation, revision, events);
    if (events.length > 0) this.revision = revision;
    return { kind: 'committed', revision: this.revision as never };
  }

  #operate(operation: Operation, revision: number, events: ModelEvent[]): void {
    const { key } = operation;
    const former = this.objects.get(key);
    if (operation.op === 'put') {
      const createRevision = former?.createRevision ?? revision;
      const object = { text: textOf(operation, revision), revision, createRevision };
      this.objects.set(key, { ...object, operation });
      events.push({ ...object, key, type: 'put' });
    } else if (former !== undefined) {
      this.objects.delete(key);
      const text = textOf(former.operation, revision);
      events.push({ key, type: 'delete', text, revision, createRevision: former.createRevision });
    }
  }
}

function textOf(operation: Operation, revision: number): string {
  if (operation.op !== 'put') return '';
  const text = Buffer.from(operation.value).toString('latin1');
  const at = operation.revisionOffset;
  return at < 0 ? text : `${text.slice(0, at)}${revision}${text.slice(at)}`;
}
