/**
 * Clients: one operation at a time each, at any member. A write is asked for once; the store sees it through, and if nobody
 * says what became of it, nobody knows. Groups of two keys; transactions compare and set both.
 */

import type { NodeId } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Check, Operation as StoreOperation } from '../../../src/store/types.ts';
import { del, put } from '../../support/store-values.ts';
import type { Checkers } from '../checkers/checkers.ts';
import type { Operation, OperationLog, Values } from '../linearizability/operations.ts';
import type { Host } from '../machine/host.ts';
import type { Process } from '../machine/process.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

export type ClientComponents = {
  readonly world: World;
  readonly random: Random;
  readonly checkers: Checkers;
  readonly log: OperationLog;
  readonly hosts: ReadonlyMap<NodeId, Host>;
  readonly options: SwarmOptions['clients'];
};

/** What a client knows of a key: the value it read, at its revision; 0: absent. */
type Known = { readonly value: string | null; readonly revision: number };

type Plan = {
  readonly kind: 'read' | 'write';
  readonly group: string;
  readonly expect: Values;
  readonly write: Values;
  readonly checks: readonly Check[];
  readonly operations: readonly StoreOperation[];
};

const KEYS = ['a', 'b'] as const;
/** Where the keys of a group lie. */
export function groupPrefix(group: string): string {
  return `/sim/${group}//`;
}

/** The value that a stored object carries. */
export function storedValue(object: { readonly object: unknown } | undefined): string | null {
  if (object === undefined) return null;
  return String((object.object as { value?: unknown }).value);
}

export class Client {
  readonly name: string;
  readonly #components: ClientComponents;
  readonly #known = new Map<string, Known>();
  #busy = false;
  #writes = 0;
  #stopping = false;
  #home: NodeId | undefined;

  constructor(name: string, components: ClientComponents) {
    this.name = name;
    this.#components = components;
  }

  /** True when nothing is asked and nothing will be. */
  get idle(): boolean {
    return this.#stopping && !this.#busy;
  }

  start(): void {
    this.#stopping = false;
    this.#think();
  }

  /** Ends what is under way, and begins nothing more. */
  stop(): void {
    this.#stopping = true;
  }

  #think(): void {
    const { world, random, options } = this.#components;
    world.after(exponential(random, options.thinkMeanMs), () => this.#begin());
  }

  #begin(): void {
    if (this.#stopping || this.#busy) return;
    const process = this.#choose();
    const services = process?.services;
    if (process === undefined || services === undefined) {
      this.#think();
      return;
    }
    const { world, log, random, checkers } = this.#components;
    const plan = this.#plan();
    const { group, expect, write } = plan;
    const input =
      plan.kind === 'read'
        ? ({ kind: 'read', keys: KEYS } as const)
        : ({ kind: 'transact', expect, write } as const);
    const operation = log.ask(this.name, group, input);
    const { floor } = checkers.clients;
    this.#busy = true;
    const end = (late: () => void) => {
      withdraw();
      world.after(exponential(random, 1), () => {
        late();
        this.#busy = false;
        this.#think();
      });
    };
    const withdraw = process.onEnd(() =>
      // The connection broke: nobody will ever say.
      world.after(0, () => this.#lost(plan, operation, end)),
    );
    world.after(exponential(random, 1), () => {
      process.turn(() => {
        const done =
          plan.kind === 'read'
            ? this.#read(process, plan, operation, floor)
            : this.#write(process, plan, operation, floor);
        void done.then((late) => end(late));
      });
    });
  }

  #lost(plan: Plan, operation: Operation, end: (late: () => void) => void): void {
    this.#components.world.count(`${plan.kind} unanswered`);
    this.#home = undefined;
    end(() => {
      if (plan.kind === 'read') this.#components.log.refuse(operation);
    });
  }

  /** What is to be done when the answer has come to the client. */
  async #read(
    process: Process,
    { group }: Plan,
    operation: Operation,
    floor: number,
  ): Promise<() => void> {
    const { world, log, checkers, options } = this.#components;
    const store = process.services?.store;
    try {
      await store?.readBarrier({ deadlineMs: options.deadlineMs });
    } catch (error) {
      return this.#refused(operation, error);
    }
    const { state } = process;
    const keys = KEYS.map((key) => `${groupPrefix(group)}${key}`);
    checkers.clients.read(this.name, state, keys, floor);
    const revision = state.revision();
    const found = KEYS.map((key) => {
      const object = state.get(`${groupPrefix(group)}${key}`);
      return [key, { value: storedValue(object), revision: object?.revision ?? 0 }] as const;
    });
    return () => {
      for (const [key, known] of found) this.#known.set(`${group}/${key}`, known);
      const values = Object.fromEntries(found.map(([key, { value }]) => [key, value]));
      log.answer(operation, { kind: 'values', values });
      checkers.clients.saw(revision);
      world.count('read answered');
      world.trace(this.name, 'read', `${group} revision=${revision} at=${process.id}`);
    };
  }

  async #write(
    process: Process,
    { group, checks, operations, write }: Plan,
    operation: Operation,
    floor: number,
  ): Promise<() => void> {
    const { world, log, checkers, options } = this.#components;
    const store = process.services?.store;
    if (store === undefined) return () => {};
    try {
      const { deadlineMs } = options;
      const result = await store.transact({ checks, operations }, { deadlineMs });
      const [key, value] = Object.entries(write)[0] ?? ['', null];
      return () => {
        world.trace(this.name, 'wrote', `${group} ${JSON.stringify(write)} ${result.kind}`);
        world.count(`write ${result.kind}`);
        if (result.kind === 'fenced') return;
        log.answer(operation, { kind: result.kind });
        if (result.kind === 'conflict') return;
        const { revision } = result;
        checkers.clients.saw(revision);
        for (const [changed, now] of Object.entries(write)) {
          const known = { value: now, revision: now === null ? 0 : revision };
          this.#known.set(`${group}/${changed}`, known);
        }
        if (value === null) return;
        const text = JSON.stringify(value);
        const full = `${groupPrefix(group)}${key}`;
        checkers.clients.wrote(this.name, { key: full, text, revision, floor });
      };
    } catch (error) {
      return this.#refused(operation, error);
    }
  }

  #refused(operation: Operation, error: unknown): () => void {
    const { world, log } = this.#components;
    const { SkeinError } = world.product;
    const code = error instanceof SkeinError ? error.code : String(error);
    const harmless =
      operation.input.kind === 'read' || code === 'no-leader' || code === 'proposal-dropped';
    return () => {
      world.count(`${operation.input.kind} ${code}`);
      world.trace(this.name, 'refused', code);
      if (harmless) log.refuse(operation);
      this.#home = undefined;
    };
  }

  #plan(): Plan {
    const { random, options, world } = this.#components;
    const group = `g${random.int(1, options.groups)}`;
    // The liveness phase waits for both.
    if (random.chance(world.calm ? 0.5 : options.reads)) {
      return { kind: 'read', group, expect: {}, write: {}, checks: [], operations: [] };
    }
    const touched = random.chance(0.3) ? KEYS : [random.pick(KEYS)];
    const compared = random.chance(0.5) ? touched : random.chance(0.3) ? [random.pick(KEYS)] : [];
    const expect: Record<string, string | null> = {};
    const write: Record<string, string | null> = {};
    const checks: Check[] = [];
    const operations: StoreOperation[] = [];
    for (const name of compared) {
      const key = `${groupPrefix(group)}${name}`;
      const { value, revision } = this.#known.get(`${group}/${name}`) ?? {
        value: null,
        revision: 0,
      };
      expect[name] = value;
      if (revision === 0) checks.push({ key, is: 'absent' });
      else checks.push({ key, is: 'at', revision: revision as never });
    }
    for (const name of touched) {
      const key = `${groupPrefix(group)}${name}`;
      if (random.chance(0.1)) {
        write[name] = null;
        operations.push(del(key));
        continue;
      }
      const value = `${this.name}:${++this.#writes}`;
      const padding = '.'.repeat(random.int(0, options.paddingBytesMax));
      write[name] = value;
      operations.push(put(key, { value, padding }));
    }
    return { kind: 'write', group, expect, write, checks, operations };
  }

  /** Whom it asked last, mostly; whoever claims to lead; or anybody. */
  #choose(): Process | undefined {
    const { random, hosts, options } = this.#components;
    const able = [...hosts.values()].filter(
      (host) => host.services !== undefined && !host.frozen && isMember(host),
    );
    if (random.chance(options.toClaiming)) {
      const claiming = able.filter((host) => host.process?.status.role === 'leader');
      if (claiming.length > 0) return random.pick(claiming).process;
    }
    const home = able.find(({ id }) => id === this.#home);
    if (home !== undefined && random.chance(0.7)) return home.process;
    if (able.length === 0) return undefined;
    const chosen = random.pick(able);
    this.#home = chosen.id;
    return chosen.process;
  }
}

/** Who knows itself to be no member has nobody to ask. */
function isMember(host: Host): boolean {
  const status = host.process?.status;
  if (status === undefined) return false;
  const { voters, learners } = status.confState;
  return voters.includes(host.id) || learners.includes(host.id);
}
