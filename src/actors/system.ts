/** The actor system of one node: the tree's root, the registry of paths, and the way to other nodes. */

import type { Clock } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { registerActorMetrics } from './actor-metrics.ts';
import { type AskFailure, Asks } from './asks.ts';
import { type AnyCell, Cell, type CellHost, checkName } from './cell.ts';
import { DeadLetters } from './dead-letters.ts';
import { nodeOf, replyIdOf, replyPath, rootPath } from './path.ts';
import { type AskOptions, PathRef, ReplyPathRef } from './refs.ts';
import { type LocalSystem, Remote } from './remote.ts';
import type { OutboxOptions } from './remote-outbox.ts';
import type { RemotePort } from './remote-port.ts';
import type {
  ActorInfo,
  ActorOptions,
  ActorRef,
  ActorSystem,
  AnyRef,
  AskResult,
  Behaviour,
  DeadLetter,
  ReplyRef,
  TellOutcome,
} from './types.ts';

export type ActorSystemComponents = {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The way to other nodes (the mesh). Without it, actors of other nodes are unreachable. */
  readonly remote?: RemotePort;
  /** Where the actors' metrics go. Default: nowhere. */
  readonly metrics?: Registry;
};

export type ActorSystemOptions = {
  /** This node's id. Default: the remote port's. */
  readonly node?: string;
  readonly outbox?: OutboxOptions;
};

/** Starts an actor system. Throws if neither a remote port nor a node id is given. */
export function createActorSystem(
  components: ActorSystemComponents,
  options: ActorSystemOptions = {},
): ActorSystem {
  return new System(components, options);
}

class System implements ActorSystem, CellHost, LocalSystem {
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly #top = new Map<string, AnyCell>();
  readonly #cells = new Map<string, AnyCell>();
  readonly #asks: Asks;
  readonly #deadLetters = new DeadLetters();
  readonly #remote: Remote | undefined;
  #stopping = false;

  constructor(components: ActorSystemComponents, options: ActorSystemOptions) {
    const node = options.node ?? components.remote?.self;
    if (node === undefined) throw new Error('an actor system needs the id of its node');
    this.node = node;
    this.clock = components.clock;
    this.random = components.random;
    this.log = components.logger;
    this.#asks = new Asks(components.clock);
    const { remote, metrics } = components;
    if (metrics !== undefined) {
      const total = () => this.#deadLetters.total;
      registerActorMetrics(metrics, () => ({ tree: this.tree(), deadLetters: total() }));
    }
    if (remote !== undefined) this.#remote = new Remote(remote, this, this.log, options.outbox);
  }

  spawn<M, S>(behaviour: Behaviour<M, S>, options: ActorOptions): ActorRef<M> {
    if (this.#stopping) throw new SkeinError('actor-stopped', 'the actor system is stopping');
    checkName(options.name);
    if (this.#top.has(options.name)) {
      throw new Error(`there is an actor ${options.name} that has not stopped yet`);
    }
    const place = { path: `${rootPath(this.node)}/${options.name}`, options };
    const cell = new Cell(this, undefined, place, behaviour);
    this.#top.set(options.name, cell);
    return this.reference(cell);
  }

  resolve<M>(path: string): ActorRef<M> {
    nodeOf(path);
    return new PathRef<M>(path, this);
  }

  async stop(ref: AnyRef): Promise<void> {
    await this.#cells.get(ref.path)?.stop();
  }

  tree(): ActorInfo {
    const children = [...this.#top.values()].map((cell) => cell.info());
    const sum = (pick: (info: ActorInfo) => number) =>
      children.reduce((total, child) => total + pick(child), 0);
    return {
      path: rootPath(this.node),
      depth: sum((child) => child.depth),
      capacity: sum((child) => child.capacity),
      processed: sum((child) => child.processed),
      rate: sum((child) => child.rate),
      restarts: sum((child) => child.restarts),
      lastFailure: undefined,
      children,
    };
  }

  deadLetters(): readonly DeadLetter[] {
    return this.#deadLetters.list();
  }

  async shutdown(): Promise<void> {
    this.#stopping = true;
    // The last started first: later actors may lean on earlier ones.
    for (const cell of [...this.#top.values()].reverse()) await cell.stop();
    this.#remote?.stop();
    this.#asks.failAll('aborted');
  }

  // For references.

  deliver(path: string, message: unknown): TellOutcome {
    if (nodeOf(path) !== this.node) return this.#deliverRemote(path, message);
    const replyId = replyIdOf(path);
    if (replyId !== undefined) {
      this.#asks.answer(replyId, message);
      return 'queued';
    }
    const cell = this.#cells.get(path);
    if (cell !== undefined) return cell.tell(message);
    this.deadLetter(path, message);
    return 'dead';
  }

  answer(path: string, value: unknown): void {
    this.deliver(path, value);
  }

  async ask(
    path: string,
    make: (replyTo: ReplyRef<unknown>) => unknown,
    options: AskOptions,
  ): Promise<AskResult<unknown>> {
    const node = nodeOf(path);
    const { id, result } = this.#asks.open(node, options);
    if (options.signal?.aborted) return result;
    let unwatch = () => {};
    try {
      const message = make(new ReplyPathRef(replyPath(this.node, id), this));
      const outcome =
        node === this.node ? this.deliver(path, message) : this.#deliverRemote(path, message, id);
      if (outcome === 'rejected' || outcome === 'dead') this.#asks.fail(id, outcome);
      else if (node === this.node) {
        unwatch = this.watchLocal(path, () => this.#asks.fail(id, 'dead'));
      }
    } catch (error) {
      this.log.error({ path, error }, 'a question could not be made');
      this.#asks.fail(id, 'rejected');
    }
    return result.finally(() => unwatch());
  }

  // For cells.

  reference<M>(cell: { readonly path: string }): ActorRef<M> {
    return new PathRef<M>(cell.path, this);
  }

  register(cell: AnyCell): void {
    this.#cells.set(cell.path, cell);
  }

  unregister(cell: AnyCell): void {
    if (this.#cells.get(cell.path) === cell) this.#cells.delete(cell.path);
    if (this.#top.get(cell.name) === cell) this.#top.delete(cell.name);
  }

  watch(path: string, onDeath: () => void): () => void {
    if (nodeOf(path) === this.node) return this.watchLocal(path, onDeath);
    if (this.#remote !== undefined) return this.#remote.watch(path, onDeath);
    queueMicrotask(onDeath);
    return () => {};
  }

  deadLetter(path: string, message: unknown): void {
    this.#deadLetters.add(path, message, this.clock.nowMs());
  }

  // For the remote side.

  watchLocal(path: string, onDeath: () => void): () => void {
    const cell = this.#cells.get(path);
    if (cell !== undefined) return cell.watchDeath(onDeath);
    let wanted = true;
    queueMicrotask(() => {
      if (wanted) onDeath();
    });
    return () => {
      wanted = false;
    };
  }

  failAsk(replyId: number, reason: AskFailure): void {
    this.#asks.fail(replyId, reason);
  }

  failAsksTo(node: string): void {
    this.#asks.failNode(node);
  }

  #deliverRemote(path: string, message: unknown, replyId?: number): TellOutcome {
    try {
      if (this.#remote !== undefined) return this.#remote.tell(path, message, replyId);
    } catch (error) {
      this.log.error({ path, error: messageOf(error) }, 'a message could not be sent');
    }
    this.deadLetter(path, message);
    return 'dead';
  }
}
