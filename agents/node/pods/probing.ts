/** Runs the probes of a pod's containers on the actor's timers and draws the conclusions. */

import type { ActorContext } from '../../../src/actors/types.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import type { PodServices } from './deps.ts';
import { podSubject } from './events.ts';
import type { Probe } from './kinds.ts';
import { check } from './probes/check.ts';
import {
  type CheckResult,
  countResult,
  FRESH,
  firstDelayMs,
  PROBE_KINDS,
  type ProbeKind,
  type ProbeState,
  periodMs,
} from './probes/thresholds.ts';
import type { PodMessage } from './protocol.ts';
import { type AnyContainer, containerSpec, type PodRecord } from './record.ts';
import { timerMs } from './times.ts';

/** What a result means for the container; undefined when nothing changes. */
export type Conclusion =
  | { readonly kind: 'started' }
  | { readonly kind: 'ready'; readonly ready: boolean }
  | { readonly kind: 'unhealthy'; readonly graceSeconds: number | undefined };

type Tracked = { readonly id: string; readonly states: Map<ProbeKind, ProbeState> };

const TITLES = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' } as const;

export class Probing {
  readonly #services: PodServices;
  readonly #context: ActorContext<PodMessage>;
  readonly #tracked = new Map<string, Tracked>();

  constructor(services: PodServices, context: ActorContext<PodMessage>) {
    this.#services = services;
    this.#context = context;
  }

  /** Begins probing containers that came up and ends it for those that did not stay. */
  sync(record: PodRecord): void {
    for (const { name, phase } of record.containers.values()) {
      const tracked = this.#tracked.get(name);
      if (phase.kind !== 'running' || phase.retryStopAtMs !== undefined) {
        if (tracked) this.#end(name);
        continue;
      }
      if (tracked?.id === phase.id) continue;
      const spec = containerSpec(record.pod, name);
      if (spec === undefined) continue;
      this.#end(name);
      this.#tracked.set(name, { id: phase.id, states: new Map() });
      this.#begin(spec, phase);
    }
  }

  /** Performs a probe that fell due. */
  due(record: PodRecord, message: Extract<PodMessage, { kind: 'probe-due' }>): void {
    const { name, id, probe: kind } = message;
    const spec = containerSpec(record.pod, name);
    const probe = spec && probeOf(spec, kind);
    if (spec === undefined || probe === undefined) return;
    if (this.#tracked.get(name)?.id !== id) return;
    if (record.sandbox.kind !== 'ready') return;
    const target = { pod: record.pod, spec, id, podIPs: record.sandbox.ips };
    this.#context.pipe(
      (signal) => check(this.#services, target, probe, signal),
      (result) => ({ kind: 'probed', name, id, probe: kind, result }),
      (error) => {
        const result = { kind: 'failure' as const, message: messageOf(error) };
        return { kind: 'probed', name, id, probe: kind, result };
      },
    );
  }

  /** Counts a result, plans the next probe, and answers what follows from it. */
  conclude(
    record: PodRecord,
    message: Extract<PodMessage, { kind: 'probed' }>,
  ): Conclusion | undefined {
    const { name, id, probe: kind, result } = message;
    const spec = containerSpec(record.pod, name);
    const probe = spec && probeOf(spec, kind);
    const tracked = this.#tracked.get(name);
    const phase = record.containers.get(name)?.phase;
    if (spec === undefined || probe === undefined) return undefined;
    if (tracked?.id !== id || phase?.kind !== 'running') return undefined;
    const { state, verdict } = countResult(tracked.states.get(kind) ?? FRESH, result.kind, probe);
    tracked.states.set(kind, state);
    if (result.kind === 'failure') this.#complain(record, spec, kind, result);
    if (kind === 'startup' && verdict === 'success') {
      this.#begin(spec, { ...phase, started: true });
      return { kind: 'started' };
    }
    this.#plan({ name, id, kind, delayMs: periodMs(probe) });
    if (verdict === undefined) return undefined;
    if (kind === 'readiness') {
      const ready = verdict === 'success';
      return ready === phase.ready ? undefined : { kind: 'ready', ready };
    }
    if (verdict === 'success') return undefined;
    return { kind: 'unhealthy', graceSeconds: probe.terminationGracePeriodSeconds };
  }

  #begin(
    spec: AnyContainer,
    phase: { readonly id: string; readonly started: boolean; readonly startedAtMs: number },
  ): void {
    const nowMs = this.#services.clock.nowMs();
    for (const kind of PROBE_KINDS) {
      const probe = probeOf(spec, kind);
      // Until the startup probe has passed it is the only one.
      if (probe === undefined || (kind === 'startup') === phase.started) continue;
      const delayMs = Math.max(0, phase.startedAtMs + firstDelayMs(probe) - nowMs);
      this.#plan({ name: spec.name, id: phase.id, kind, delayMs });
    }
  }

  #plan(next: { name: string; id: string; kind: ProbeKind; delayMs: number }): void {
    const { name, id, kind, delayMs } = next;
    const message = { kind: 'probe-due', name, id, probe: kind } as const;
    this.#context.startTimer(`probe/${name}/${kind}`, timerMs(delayMs), message);
  }

  #end(name: string): void {
    this.#tracked.delete(name);
    for (const kind of PROBE_KINDS) this.#context.cancelTimer(`probe/${name}/${kind}`);
  }

  #complain(record: PodRecord, spec: AnyContainer, kind: ProbeKind, result: CheckResult): void {
    const message = `${TITLES[kind]} probe failed: ${result.message}`;
    const subject = podSubject(record.pod, { field: 'containers', name: spec.name });
    this.#services.events.record(subject, { type: 'Warning', reason: 'Unhealthy', message });
  }
}

function probeOf(spec: AnyContainer, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case 'startup':
      return spec.startupProbe;
    case 'liveness':
      return spec.livenessProbe;
    case 'readiness':
      return spec.readinessProbe;
  }
}
