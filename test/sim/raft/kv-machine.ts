/**
 * The state machine of the simulation: a few keys, each with a count and a digest of all writes to it in
 * order, and a session per client, so that a write that was sent twice takes effect once.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A write as its client sees it; `attempt` tells apart what was proposed more than once. */
export type Command = {
  readonly client: string;
  readonly sequence: number;
  readonly attempt: number;
  readonly key: string;
};

/** The value of a key: how many writes took effect, and their digest. */
export type Value = { readonly count: number; readonly digest: number };

export type Session = {
  readonly sequence: number;
  readonly value: Value;
  /** Where in the log the write took effect. */
  readonly index: number;
};

/** What a write's entry brought: the value it made, now or when its first copy was applied. */
export type Outcome = Session & { readonly repeated: boolean };

export type MachineImage = {
  readonly index: number;
  readonly values: ReadonlyMap<string, Value>;
  readonly sessions: ReadonlyMap<string, Session>;
};

export const noValue: Value = { count: 0, digest: 0 };

export function encodeCommand(command: Command, paddingBytes: number): Uint8Array {
  const { client, sequence, attempt, key } = command;
  return encoder.encode(`${client} ${sequence} ${attempt} ${key} ${'.'.repeat(paddingBytes)}`);
}

export function decodeCommand(data: Uint8Array): Command {
  const [client = '', sequence, attempt, key = ''] = decoder.decode(data).split(' ');
  return { client, sequence: Number(sequence), attempt: Number(attempt), key };
}

/** Names what was proposed in one go: once in the log, at most. */
export function attemptName({ client, sequence, attempt }: Command): string {
  return `${client}:${sequence}:${attempt}`;
}

export class KvMachine {
  #index = 0;
  #values = new Map<string, Value>();
  #sessions = new Map<string, Session>();

  /** Everything up to here is part of the state. */
  get index(): number {
    return this.#index;
  }

  /** Takes the entry at `index`; undefined: one without a command. */
  apply(index: number, command: Command | undefined, dedupe = true): Outcome | undefined {
    this.#index = index;
    if (command === undefined) return undefined;
    const { client, sequence, key } = command;
    const known = this.#sessions.get(client);
    if (dedupe && known !== undefined && known.sequence >= sequence) {
      return { ...known, repeated: true };
    }
    const value = follow(this.read(key), client, sequence);
    this.#values.set(key, value);
    const session = { sequence, value, index };
    this.#sessions.set(client, session);
    return { ...session, repeated: false };
  }

  read(key: string): Value {
    return this.#values.get(key) ?? noValue;
  }

  image(): MachineImage {
    return {
      index: this.#index,
      values: new Map(this.#values),
      sessions: new Map(this.#sessions),
    };
  }

  restore(image: MachineImage): void {
    this.#index = image.index;
    this.#values = new Map(image.values);
    this.#sessions = new Map(image.sessions);
  }
}

/** Depends on every earlier write and on their order. */
function follow(value: Value, client: string, sequence: number): Value {
  let digest = value.digest;
  for (const unit of `${client}:${sequence}`) {
    digest = (Math.imul(digest, 31) + (unit.codePointAt(0) ?? 0)) | 0;
  }
  return { count: value.count + 1, digest };
}
