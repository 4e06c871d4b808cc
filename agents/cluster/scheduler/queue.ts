/**
 * Pods that wait for a node. A pod is *active* (to be tried now), *backing off* (to be tried at a time), or
 * *waiting* (nothing but a change of the cluster can help it). A pod that fails again and again waits longer each time,
 * whatever happens around it, so that a busy cluster does not turn hopeless pods into a hot loop.
 *
 * Takes time as an input: `nowMs` is monotonic.
 */

import type { Pod } from '../kinds.ts';
import { type PodInfo, podInfo } from './requests.ts';

export type QueueOptions = {
  /** Wait after the first failure. Default 100 ms. */
  readonly backoffInitialMs?: number;
  /** Longest wait. Default 10 s. */
  readonly backoffMaxMs?: number;
};

/** What changed in the cluster, as far as waiting pods care. */
export type ClusterChange = 'node-changed' | 'pod-left' | 'pod-placed' | 'namespace-changed';

type Entry = {
  info: PodInfo;
  readonly sinceMs: number;
  attempts: number;
  lastAttemptMs: number;
  phase: 'active' | 'backing-off' | 'waiting' | 'in-flight';
  dueMs: number;
  /** A change that could help came while the pod was being worked on. */
  helped: boolean;
};

export class SchedulingQueue {
  readonly #entries = new Map<string, Entry>();
  readonly #initialMs: number;
  readonly #maxMs: number;

  constructor(options: QueueOptions = {}) {
    this.#initialMs = options.backoffInitialMs ?? 100;
    this.#maxMs = options.backoffMaxMs ?? 10_000;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Adds a pod, or takes in its newer version; a change of what it asks for makes it active again. */
  set(pod: Pod, nowMs: number): void {
    const uid = pod.metadata.uid ?? '';
    const entry = this.#entries.get(uid);
    if (!entry) {
      const info = podInfo(pod);
      const phase = 'active';
      const base = { attempts: 0, lastAttemptMs: 0, dueMs: nowMs, helped: false };
      this.#entries.set(uid, { info, sinceMs: nowMs, phase, ...base });
      return;
    }
    const changed = asks(entry.info.pod) !== asks(pod);
    entry.info = podInfo(pod);
    if (!changed) return;
    if (entry.phase === 'in-flight') entry.helped = true;
    else entry.phase = 'active';
  }

  delete(uid: string): void {
    this.#entries.delete(uid);
  }

  /** Takes the pods to try now, the most important first, the longest waiting among equals; they are in flight. */
  take(limit: number, nowMs: number): readonly PodInfo[] {
    const due = [...this.#entries.values()].filter(
      (entry) =>
        entry.phase === 'active' || (entry.phase === 'backing-off' && entry.dueMs <= nowMs),
    );
    due.sort((a, b) => b.info.priority - a.info.priority || a.sinceMs - b.sinceMs);
    return due.slice(0, limit).map((entry) => {
      entry.phase = 'in-flight';
      entry.attempts++;
      entry.lastAttemptMs = nowMs;
      entry.helped = false;
      return entry.info;
    });
  }

  /** The pod cannot be placed as things are: it waits for a change. */
  wait(uid: string, nowMs: number): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    if (entry.helped) this.#backOff(entry, nowMs);
    else entry.phase = 'waiting';
  }

  /** Something failed that is not the pod's fault: it is tried again after its backoff. */
  retry(uid: string, nowMs: number): void {
    const entry = this.#entries.get(uid);
    if (entry) this.#backOff(entry, nowMs);
  }

  /** Makes the waiting pods that `change` could help due after their backoff. */
  notice(change: ClusterChange, nowMs: number): void {
    for (const entry of this.#entries.values()) {
      if (!couldHelp(change, entry.info.pod)) continue;
      if (entry.phase === 'waiting') this.#backOff(entry, nowMs);
      else if (entry.phase === 'in-flight') entry.helped = true;
    }
  }

  /** Milliseconds until a pod is due; 0 when one is now, undefined when none will be by itself. */
  msToNext(nowMs: number): number | undefined {
    let next: number | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.phase === 'active') return 0;
      if (entry.phase !== 'backing-off') continue;
      const wait = Math.max(0, entry.dueMs - nowMs);
      if (next === undefined || wait < next) next = wait;
    }
    return next;
  }

  #backOff(entry: Entry, nowMs: number): void {
    const exponent = Math.min(Math.max(entry.attempts - 1, 0), 30);
    const waitMs = Math.min(this.#maxMs, this.#initialMs * 2 ** exponent);
    entry.phase = 'backing-off';
    entry.dueMs = Math.max(nowMs, entry.lastAttemptMs + waitMs);
  }
}

/** What the pipeline reads of a pod: its status may change without a new attempt. */
function asks(pod: Pod): string {
  return JSON.stringify([pod.spec, pod.metadata.labels ?? {}]);
}

/** A pod that came to a node takes room; it helps only those that look for company or balance. */
function couldHelp(change: ClusterChange, pod: Pod): boolean {
  const { affinity, topologySpreadConstraints = [] } = pod.spec;
  const seeksPods = affinity?.podAffinity !== undefined || affinity?.podAntiAffinity !== undefined;
  switch (change) {
    case 'node-changed':
    case 'pod-left':
      return true;
    case 'pod-placed':
      return seeksPods || topologySpreadConstraints.length > 0;
    case 'namespace-changed':
      return seeksPods;
  }
}
