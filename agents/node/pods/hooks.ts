/** Lifecycle hooks: postStart and preStop handlers. */

import { sleep } from '../../../src/lib/async.ts';
import { hasCode, messageOf } from '../../../src/lib/errors.ts';
import type { PodServices } from './deps.ts';
import { httpGet, httpTarget } from './http-get.ts';
import type { LifecycleHandler, Pod } from './kinds.ts';
import type { AnyContainer } from './record.ts';
import { timerMs } from './times.ts';

export type HookResult =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly message: string };

export type HookTarget = {
  readonly pod: Pod;
  readonly spec: AnyContainer;
  readonly id: string;
  readonly podIPs: readonly string[];
};

const USER_AGENT = 'kube-lifecycle/1.32';
const PASSED: HookResult = { kind: 'passed' };

/** Runs a handler to its end. Failures are values; rejects only with code aborted when the signal fires. */
export async function runHook(
  services: PodServices,
  target: HookTarget,
  handler: LifecycleHandler,
  signal: AbortSignal,
): Promise<HookResult> {
  const { exec, httpGet: get, sleep: pause, tcpSocket } = handler;
  try {
    if (exec) {
      const command = exec.command ?? [];
      const { exitCode, output } = await services.runtime.execSync(target.id, command, {}, signal);
      if (exitCode === 0) return PASSED;
      const message = `command '${command.join(' ')}' exited with ${exitCode}: ${output}`;
      return { kind: 'failed', message };
    }
    if (get) {
      const port = portNumber(target.spec, get.port);
      if (port === undefined) return { kind: 'failed', message: `unknown port ${get.port}` };
      const podIP = podIPOf(services, target);
      const where = httpTarget(get, { podIP, port });
      const answer = await httpGet(where, { userAgent: USER_AGENT, signal });
      // Any answer counts, as upstream.
      return answer.kind === 'answered' ? PASSED : { kind: 'failed', message: answer.message };
    }
    if (pause) {
      await sleep(timerMs(pause.seconds * 1000), services.clock, signal);
      return PASSED;
    }
    const what = tcpSocket ? 'tcpSocket handlers' : 'handlers of this type';
    return { kind: 'failed', message: `${what} are not supported in lifecycle hooks` };
  } catch (error) {
    if (hasCode(error, 'aborted', 'deadline-exceeded')) throw error;
    return { kind: 'failed', message: messageOf(error) };
  }
}

/** A port by number or by the name it has in the container. */
export function portNumber(spec: AnyContainer, port: number | string): number | undefined {
  if (typeof port === 'number') return port;
  const named = spec.ports?.find(({ name }) => name === port)?.containerPort;
  if (named !== undefined) return named;
  return /^\d+$/.test(port) ? Number(port) : undefined;
}

/** The address a pod answers at. */
export function podIPOf(services: PodServices, { pod, podIPs }: HookTarget): string {
  const { hostIPs } = services.settings;
  return (pod.spec.hostNetwork ? hostIPs[0] : podIPs[0]) ?? '127.0.0.1';
}
