/**
 * Secrets at rest, as operators see them: whether they are sealed, since when under which key, what every node still holds from
 * before; and how to change that. A change is one write to the replicated state, and what follows from it each node does by itself.
 */

import type { SecretsNodeStatus, SecretsStatus } from '../../cli/status-types.ts';
import type { Consensus } from '../../consensus/types.ts';
import { SEALED_LEVEL } from '../../consensus/versions.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { messageOf, SkeinError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Random } from '../../lib/random.ts';
import type { Mesh } from '../../mesh/types.ts';
import type { ClusterKey } from '../../sealing/cluster-key.ts';
import {
  checkKinds,
  DEFAULT_KINDS,
  encodeRecord,
  newRecord,
  type SealingRecord,
} from '../../sealing/record.ts';
import { SEALING_KEY, type Sealing } from '../../store/sealing.ts';
import type { Store } from '../../store/types.ts';
import type { MemberRecord } from '../data-dir.ts';
import { readMembers } from '../members.ts';
import { Purge } from './purge.ts';

/** The request by which a node tells how far it is. */
export const SECRETS_METHOD = 'node.secrets';

export type SecretsComponents = {
  readonly store: Store;
  readonly sealing: Sealing;
  readonly clusterKey: ClusterKey;
  readonly mesh: Pick<Mesh, 'self' | 'request' | 'serve'>;
  readonly consensus: Pick<Consensus, 'oldestStored' | 'discardOld' | 'onLeadership' | 'levels'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
};

export type SecretsOptions = {
  /** A cluster that has never sealed anything begins to as soon as all members can. */
  readonly takeOver: boolean;
};

/** What somebody wants changed. `kinds` stay as they are, or are the default, when they are not named. */
export type SecretsChange = {
  readonly action: 'rotate' | 'enable' | 'disable';
  readonly kinds?: readonly string[];
};

/** `record`: the revision of the record in force, 0 if there is none. */
type Progress = { readonly record: number; readonly left?: string };

const ASK_DEADLINE_MS = 3_000;
const TAKE_OVER_RETRY = { initialMs: 500, maxMs: 10_000 };

/** One node's part in it. Begins at once. */
export class SecretsAtRest {
  readonly #components: SecretsComponents;
  readonly #purge: Purge;
  readonly #ending = new AbortController();
  readonly #unfollow: () => void;
  #leading = false;
  #retry: Timer | undefined;

  constructor(components: SecretsComponents, { takeOver }: SecretsOptions) {
    this.#components = components;
    this.#purge = new Purge(components);
    components.mesh.serve(SECRETS_METHOD, () => this.#progress());
    this.#unfollow = components.consensus.onLeadership(({ kind }) => {
      this.#leading = kind === 'gained';
      this.#retry?.cancel();
      if (this.#leading && takeOver) void this.#takeOver(0);
    });
  }

  /** The whole cluster's; nodes that do not answer are named. */
  async status(): Promise<SecretsStatus> {
    const { store, sealing, clusterKey } = this.#components;
    const record = sealing.inForce?.record;
    const members = readMembers(store);
    const nodes = await Promise.all(members.map((member) => this.#nodeStatus(member)));
    return {
      encrypted: (record?.key ?? null) !== null,
      kinds: record?.key ? record.kinds : [],
      ...(record?.key ? { dataKey: record.key.id } : {}),
      clusterKey: clusterKey.id,
      ...(record ? { since: record.madeAt } : {}),
      position: sealing.since,
      complete: nodes.every(({ state }) => state === 'done'),
      nodes: nodes.sort((left, right) => (left.node < right.node ? -1 : 1)),
    };
  }

  /** Resolves when the change is in force. Rejects with config-invalid when it makes no sense, or not every node can follow. */
  async change({ action, kinds }: SecretsChange): Promise<void> {
    const { store, sealing, clusterKey, clock, log } = this.#components;
    await store.readBarrier();
    const current = sealing.inForce?.record;
    const on = (current?.key ?? null) !== null;
    if (action === 'rotate' && !on) {
      throw new SkeinError('config-invalid', 'nothing is encrypted: skein secrets enable');
    }
    if (action === 'disable' && !on) return;
    const wanted = checked(kinds ?? (current?.key ? current.kinds : DEFAULT_KINDS));
    if (action === 'enable' && on && String(wanted) === String(current?.kinds)) return;
    this.#requireAbleMembers();
    const key = action === 'disable' ? undefined : clusterKey;
    const record = newRecord(key, wanted, clock.nowMs());
    await this.#write(record);
    log.info({ action, kinds: wanted, key: record.key?.id }, 'the encryption of secrets changed');
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    this.#leading = false;
    this.#retry?.cancel();
    this.#unfollow();
    await this.#purge.stop();
  }

  /** Fails when another change came first: whoever ordered this one has to look again. */
  async #write(record: SealingRecord): Promise<void> {
    const { store } = this.#components;
    const found = store.get(SEALING_KEY);
    const result = await store.transact({
      checks: [
        found
          ? { key: SEALING_KEY, is: 'at', revision: found.revision }
          : { key: SEALING_KEY, is: 'absent' },
      ],
      operations: [
        { op: 'put', key: SEALING_KEY, value: encodeRecord(record), revisionOffset: -1 },
      ],
    });
    if (result.kind === 'committed') return;
    const text =
      'somebody else changed the encryption of secrets at the same moment; look at it, and try again';
    throw new SkeinError('overloaded', text, { retryable: true });
  }

  async #progress(): Promise<Progress> {
    // In this order: what is left from before a record is known once the record is.
    const record = this.#recordRevision();
    const left = await this.#purge.left();
    return left === undefined ? { record } : { record, left };
  }

  #recordRevision(): number {
    return this.#components.store.get(SEALING_KEY)?.revision ?? 0;
  }

  async #nodeStatus({ node, peer }: MemberRecord): Promise<SecretsNodeStatus> {
    const ours = this.#recordRevision();
    try {
      const { record, left } = await this.#ask(peer);
      if (record !== ours) {
        return { node, state: 'pending', detail: 'it has not heard of the change' };
      }
      if (left !== undefined) return { node, state: 'pending', detail: `it holds ${left}` };
      return { node, state: 'done' };
    } catch (error) {
      return { node, state: 'unreachable', detail: messageOf(error) };
    }
  }

  async #ask(peer: string): Promise<Progress> {
    const { mesh } = this.#components;
    if (peer === mesh.self) return this.#progress();
    const options = { deadlineMs: ASK_DEADLINE_MS, signal: this.#ending.signal };
    const answer = await mesh.request(peer, SECRETS_METHOD, {}, options);
    const { record, left } = (answer ?? {}) as Partial<Record<string, unknown>>;
    return {
      record: typeof record === 'number' ? record : 0,
      ...(typeof left === 'string' ? { left } : {}),
    };
  }

  /** A member that cannot read what is sealed would have to be left behind. */
  #requireAbleMembers(): void {
    const { consensus, sealing, store } = this.#components;
    const { level, members } = consensus.levels();
    if (sealing.inForce !== undefined || level >= SEALED_LEVEL) return;
    const unable = readMembers(store).filter(
      ({ peer }) => (members.get(peer)?.max ?? 0) < SEALED_LEVEL,
    );
    const names = unable.map(({ node, peer }) => {
      const product = members.get(peer)?.product;
      return product === undefined ? `${node} does not answer` : `${node} runs ${product}`;
    });
    throw new SkeinError(
      'config-invalid',
      `encryption can begin once the cluster is at feature level ${SEALED_LEVEL}, which it reaches by itself when every node has been up for a while with a version that understands it${names.length > 0 ? ` (not yet: ${names.join(', ')})` : ''}`,
    );
  }

  /** The leader of a cluster that was made by a version without encryption. */
  async #takeOver(attempt: number): Promise<void> {
    const { sealing, clock, random, log } = this.#components;
    if (!this.#leading || sealing.inForce !== undefined) return;
    try {
      await this.change({ action: 'enable' });
    } catch (error) {
      if (!this.#leading) return;
      const level = attempt === 0 ? 'info' : 'debug';
      log[level]({ reason: messageOf(error) }, 'secrets are not encrypted yet');
      const delayMs = backoffMs(attempt, random, TAKE_OVER_RETRY);
      this.#retry = clock.after(delayMs, () => void this.#takeOver(attempt + 1));
    }
  }
}

function checked(kinds: readonly string[]): readonly string[] {
  try {
    return checkKinds(kinds);
  } catch (cause) {
    throw new SkeinError('config-invalid', `--kinds: ${messageOf(cause)}`, { cause });
  }
}
