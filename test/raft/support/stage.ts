/**
 * Performs the commands of a play (README.md in ../plays lists them) and writes down what happens.
 * A member does nothing by itself: it takes batches, persists and applies only when told to.
 */

import type { Message, NodeId, Ready } from '../../../raft/types.ts';
import type { MemberOptions } from './cluster.ts';
import { blankDisk, bytes, foundedDisk, Member } from './cluster.ts';
import { describeMessage, describeProgress, describeReady, describeStatus } from './describe.ts';

type Command = (words: readonly string[], named: ReadonlyMap<string, string>) => void;

const stepKinds = { '+v': 'add-voter', '+l': 'add-learner', '-': 'remove' } as const;

/** See the module comment. */
export class Stage {
  readonly #members = new Map<NodeId, Member>();
  readonly #holdingApply = new Map<NodeId, Ready['committed'][]>();
  #cut = new Set<NodeId>();
  #wire: Message[] = [];
  #options: MemberOptions = {};
  #lines: string[] = [];

  /** Performs one command line; returns what happened. Throws for a command nobody knows. */
  perform(line: string): string[] {
    this.#lines = [];
    const quiet = line.endsWith(' quietly');
    const [name = '', ...rest] = line.replace(/ quietly$/, '').split(/\s+/);
    const command = this.#commands[name];
    if (command === undefined) throw new Error(`there is no command ${name}`);
    const named = new Map(
      rest.filter((word) => word.includes('=')).map((word) => splitOnce(word, '=')),
    );
    command(
      rest.filter((word) => !word.includes('=')),
      named,
    );
    if (quiet) return ['(quietly)'];
    return this.#lines.length === 0 ? ['nothing happens'] : this.#lines;
  }

  readonly #commands: Readonly<Record<string, Command>> = {
    group: (voters, named) => this.#found(voters, named),
    join: ([id = '']) => this.#add(id, blankDisk()),
    campaign: ([id = '']) => this.#get(id).node.campaign(),
    propose: ([id = '', ...items]) =>
      this.#outcome(this.#get(id).node.propose(items.map((item) => bytes(item)))),
    config: ([id = '', ...steps]) => this.#config(id, steps),
    tick: ([ids = '', count = '1']) => this.#tick(ids, Number(count)),
    take: ([id = '']) => this.#take(this.#get(id)),
    persist: ([id = '']) => this.#persist(this.#get(id)),
    work: ([id = '']) => this.#work(this.#get(id)),
    deliver: (_, named) => this.#deliver(this.#pick(named)),
    drop: (_, named) => {
      for (const message of this.#pick(named)) this.#say(`lost ${describeMessage(message)}`);
    },
    wire: () => {
      for (const message of this.#wire) this.#say(describeMessage(message));
    },
    stabilize: (ids) => this.#stabilize(ids),
    cut: (ids) => {
      this.#cut = new Set(ids);
    },
    heal: () => this.#cut.clear(),
    crash: ([id = '']) => this.#get(id).restart(),
    compact: ([id = '', keep = '0']) => this.#get(id).compact(Number(keep)),
    'hold-apply': ([id = '']) => void this.#holdingApply.set(id, []),
    apply: ([id = '']) => this.#applyHeld(id),
    read: ([id = '', request = '0']) => {
      if (!this.#get(id).node.readIndex(Number(request))) this.#say('no read can be had now');
    },
    transfer: ([id = '', target = '']) => this.#get(id).node.transferLeadership(target),
    forget: ([id = '']) => this.#get(id).node.forgetLeader(),
    unreachable: ([id = '', peer = '']) => this.#get(id).node.reportUnreachable(peer),
    'report-snapshot': ([id = '', peer = '', how = '']) =>
      this.#get(id).node.reportSnapshot(peer, how === 'ok'),
    status: (ids) => {
      const shown = ids.length === 0 ? [...this.#members.keys()] : ids;
      for (const id of shown) this.#say(describeStatus(this.#get(id).node.status()));
    },
    progress: ([id = '']) => {
      for (const line of describeProgress(this.#get(id).node.status())) this.#say(line);
    },
  };

  #found(voters: readonly string[], named: ReadonlyMap<string, string>): void {
    const learners = named.get('learners')?.split(',') ?? [];
    const options = [...named].filter(([name]) => name !== 'learners');
    this.#options = Object.fromEntries(options.map(([name, value]) => [name, Number(value)]));
    for (const id of [...voters, ...learners]) this.#add(id, foundedDisk(voters, { learners }));
  }

  #add(id: NodeId, disk: Member['disk']): void {
    // Timeouts of 10, 12, 14 ... ticks in the order of appearance: who waits longest is no secret.
    const share = (this.#members.size % 5) / 5;
    const trace = (event: string, facts: Readonly<Record<string, unknown>>): void =>
      this.#say(`${id} ${event}${describeFacts(facts)}`);
    const options = { ...this.#options, id, random: () => share, trace };
    this.#members.set(id, new Member(id, disk, options));
  }

  #config(id: NodeId, words: readonly string[]): void {
    const steps = words.map((word) => {
      const [mark, node] = splitOnce(word, ':');
      const kind = stepKinds[mark as keyof typeof stepKinds];
      if (kind === undefined) throw new Error(`there is no change ${word}`);
      return { kind, node };
    });
    this.#outcome(this.#get(id).node.proposeConfChange({ steps, context: new Uint8Array() }));
  }

  #tick(ids: string, count: number): void {
    const ticking = ids === 'all' ? [...this.#members.keys()] : ids.split(',');
    for (let left = count; left > 0; left--) for (const id of ticking) this.#get(id).node.tick();
  }

  #take(member: Member): void {
    const ready = member.node.ready();
    member.pending.push(ready);
    for (const line of describeReady(member.id, ready)) this.#say(line);
    this.#send(ready.messages);
  }

  #persist(member: Member): void {
    const held = this.#holdingApply.get(member.id);
    const [ready] = member.pending;
    if (ready === undefined) throw new Error(`${member.id} has no batch to persist`);
    held?.push(ready.committed);
    this.#send(member.persist({ apply: held === undefined }));
  }

  #applyHeld(id: NodeId): void {
    const held = this.#holdingApply.get(id) ?? [];
    this.#holdingApply.delete(id);
    for (const committed of held) this.#get(id).apply(committed);
  }

  #work(member: Member): boolean {
    let busy = member.pending.length > 0;
    while (member.pending.length > 0) this.#persist(member);
    while (member.node.hasReady()) {
      busy = true;
      this.#take(member);
      this.#persist(member);
    }
    return busy;
  }

  #stabilize(ids: readonly string[]): void {
    const acting = ids.length === 0 ? [...this.#members.keys()] : ids;
    for (let round = 0; round < 1000; round++) {
      let busy = false;
      for (const id of acting) busy = this.#work(this.#get(id)) || busy;
      const arriving = this.#wire.filter((message) => acting.includes(message.to));
      this.#wire = this.#wire.filter((message) => !acting.includes(message.to));
      this.#deliver(arriving);
      if (!busy && arriving.length === 0) return;
    }
    throw new Error('the group does not come to rest');
  }

  #deliver(messages: readonly Message[]): void {
    for (const message of messages) {
      if (!this.#members.has(message.to)) this.#say(`nobody hears ${describeMessage(message)}`);
      this.#members.get(message.to)?.node.step(message);
    }
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.#cut.has(message.from) !== this.#cut.has(message.to))
        this.#say(`lost ${describeMessage(message)}`);
      else this.#wire.push(message);
    }
  }

  /** Takes the messages off the wire that match `from`, `to`, `type`, at most `count` of them. */
  #pick(named: ReadonlyMap<string, string>): Message[] {
    let left = Number(named.get('count') ?? Number.POSITIVE_INFINITY);
    const picked: Message[] = [];
    this.#wire = this.#wire.filter((message) => {
      const fits = (['from', 'to', 'type'] as const).every(
        (field) => !named.has(field) || named.get(field) === message[field],
      );
      if (!fits || left === 0) return true;
      left--;
      picked.push(message);
      return false;
    });
    return picked;
  }

  #outcome(outcome: { readonly kind: string; readonly reason?: string }): void {
    if (outcome.kind !== 'accepted') this.#say(`${outcome.kind}${describeFacts(outcome)}`);
  }

  #get(id: NodeId): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  #say(line: string): void {
    this.#lines.push(line);
  }
}

function describeFacts(facts: Readonly<Record<string, unknown>>): string {
  const shown = Object.entries(facts).filter(([name, value]) => name !== 'kind' && !isEmpty(value));
  return shown.map(([name, value]) => ` ${name}=${String(value)}`).join('');
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === false || (Array.isArray(value) && value.length === 0);
}

function splitOnce(word: string, separator: string): [string, string] {
  const at = word.indexOf(separator);
  return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
}
