/** Shows the pod's status to the API: changes only, one write at a time, the urgent ones soon. */

import type { ActorContext } from '../../../src/actors/types.ts';
import { isConflict, isNotFound } from '../../../src/client/errors.ts';
import { backoffMs } from '../../../src/lib/backoff.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import type { Pod, PodCondition, PodStatus } from './kinds.ts';
import type { PodMessage, WriteOutcome } from './protocol.ts';
import type { PodRecord } from './record.ts';
import { statusOf } from './status.ts';
import { isUrgent, merged, statusPatch } from './status-patch.ts';

/** Changes are gathered this long before they are written. */
const GATHER_MS = 300;
const GATHER_URGENT_MS = 10;
const RETRY = { initialMs: 500, maxMs: 20_000 };

type Context = ActorContext<PodMessage>;

export class StatusSync {
  readonly #services: PodServices;
  readonly #context: Context;
  #shown: PodStatus | undefined;
  #writing = false;
  #observedMeanwhile: PodCondition[] | undefined;
  #failures = 0;

  constructor(services: PodServices, context: Context, shown: PodStatus | undefined) {
    this.#services = services;
    this.#context = context;
    this.#shown = shown;
  }

  /**
   * The API shows these conditions now. Others may have changed even ours (a node that fell silent has
   * its pods marked not ready): taking them as shown makes the next comparison write ours again. While a
   * write of ours is under way, what is observed counts for when it has ended: its own effect is observed
   * before its answer comes.
   */
  observe(pod: Pod): void {
    const conditions = pod.status?.conditions ?? [];
    if (this.#writing) this.#observedMeanwhile = conditions;
    else this.#shown = { ...this.#shown, conditions };
  }

  /** The record may have changed: plans a write if the status differs from what is shown. */
  changed(record: PodRecord): void {
    if (record.frozen || this.#writing || this.#failures > 0) return;
    const wanted = this.#wanted(record);
    if (this.#patch(record, wanted) === undefined) return;
    const delayMs = isUrgent(this.#shown, wanted) ? GATHER_URGENT_MS : GATHER_MS;
    this.#context.startTimer('status', delayMs, { kind: 'write-status' });
  }

  /** Writes the difference now. */
  write(record: PodRecord): void {
    if (this.#writing || record.frozen) return;
    const wanted = this.#wanted(record);
    const patch = this.#patch(record, wanted);
    if (patch === undefined) return;
    this.#writing = true;
    this.#context.pipe(
      (signal) => this.#send(record.pod, patch, signal),
      (outcome) => ({ kind: 'status-written', status: wanted, outcome }),
      () => ({ kind: 'status-written', status: wanted, outcome: 'failed' }),
    );
  }

  /** A write ended: remembers what is shown, or tries again later. */
  written(status: PodStatus, outcome: WriteOutcome): void {
    this.#writing = false;
    const meanwhile = this.#observedMeanwhile;
    this.#observedMeanwhile = undefined;
    if (outcome === 'failed') {
      const waitMs = backoffMs(this.#failures++, this.#context.random, RETRY);
      this.#context.startTimer('status', waitMs, { kind: 'write-status' });
      return;
    }
    this.#failures = 0;
    this.#shown = merged(this.#shown, status);
    if (meanwhile) this.#shown = { ...this.#shown, conditions: meanwhile };
  }

  /** Writes the final status and deletes the object, trying until both are done or the signal fires. */
  async finalize(record: PodRecord, signal: AbortSignal): Promise<WriteOutcome> {
    const { clock } = this.#services;
    this.#context.cancelTimer('status');
    const wanted = this.#wanted(record);
    const patch = record.frozen ? undefined : this.#patch(record, wanted);
    if (patch !== undefined) {
      const outcome = await this.#send(record.pod, patch, signal);
      if (outcome !== 'done') return outcome;
      this.#shown = merged(this.#shown, wanted);
    }
    const { name, namespace = 'default', uid } = record.pod.metadata;
    try {
      await bounded('api', { clock, signal }, () =>
        this.#services.client.delete(
          'Pod',
          { namespace, name },
          {
            gracePeriodSeconds: 0,
            ...(uid ? { preconditions: { uid } } : {}),
          },
        ),
      );
      return 'done';
    } catch (error) {
      return this.#outcomeOf(error, 'deleting the pod');
    }
  }

  #wanted(record: PodRecord): PodStatus {
    const { settings, clock } = this.#services;
    const context = { node: { hostIPs: settings.hostIPs }, previous: this.#shown };
    return statusOf(record, context, clock.nowMs());
  }

  #patch(record: PodRecord, wanted: PodStatus): object | undefined {
    return statusPatch(record.pod.metadata.uid ?? '', this.#shown, wanted);
  }

  async #send(pod: Pod, patch: object, signal: AbortSignal): Promise<WriteOutcome> {
    const { clock, client } = this.#services;
    const { name, namespace = 'default' } = pod.metadata;
    try {
      await bounded('api', { clock, signal }, () =>
        client.patch(
          'Pod',
          { namespace, name },
          { type: 'strategic', body: patch },
          { subresource: 'status' },
        ),
      );
      return 'done';
    } catch (error) {
      return this.#outcomeOf(error, 'writing the status');
    }
  }

  #outcomeOf(error: unknown, what: string): WriteOutcome {
    if (isNotFound(error) || isConflict(error)) return 'gone';
    this.#context.log.debug({ error: messageOf(error) }, `${what} failed`);
    return 'failed';
  }
}
