/** Ends one container: preStop hook within the grace, stop signal, SIGKILL. */

import { withDeadline } from '../../../src/lib/async.ts';
import { hasCode, messageOf } from '../../../src/lib/errors.ts';
import { bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import { podSubject } from './events.ts';
import { type HookTarget, runHook } from './hooks.ts';
import { timerMs } from './times.ts';

/** After a preStop hook that used the whole grace, the process still gets this long. */
const GRACE_MS_AFTER_HOOK = 2_000;

/** Resolves when the container has ended. Rejects when the runtime could not end it in time. */
export async function stopContainer(
  services: PodServices,
  target: HookTarget,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { runtime, clock } = services;
  const left = graceMs > 0 ? await preStop(services, target, graceMs, signal) : 0;
  await bounded(
    'stop',
    { clock, signal },
    (inner) => runtime.stop(target.id, left / 1000, inner),
    left,
  );
}

/** Runs the preStop hook, if any; answers what remains of the grace. */
async function preStop(
  services: PodServices,
  target: HookTarget,
  graceMs: number,
  signal: AbortSignal,
): Promise<number> {
  const hook = target.spec.lifecycle?.preStop;
  if (hook === undefined) return graceMs;
  const { clock, events } = services;
  const startedMs = clock.monotonicMs();
  const complain = (message: string) =>
    events.record(podSubject(target.pod, { field: 'containers', name: target.spec.name }), {
      type: 'Warning',
      reason: 'FailedPreStopHook',
      message: `PreStopHook failed: ${message}`,
    });
  try {
    const result = await withDeadline((inner) => runHook(services, target, hook, inner), {
      deadlineMs: timerMs(graceMs),
      clock,
      what: 'the preStop hook',
      signal,
    });
    if (result.kind === 'failed') complain(result.message);
  } catch (error) {
    if (hasCode(error, 'aborted')) throw error;
    complain(messageOf(error));
  }
  const usedMs = clock.monotonicMs() - startedMs;
  return Math.max(GRACE_MS_AFTER_HOOK, graceMs - usedMs);
}
