/** Performs one probe: exec, HTTP, TCP or gRPC, from the node's own network to the pod. */

import { withDeadline } from '../../../../src/lib/async.ts';
import { hasCode, messageOf, SkeinError } from '../../../../src/lib/errors.ts';
import type { PodServices } from '../deps.ts';
import { type HookTarget, podIPOf, portNumber } from '../hooks.ts';
import { type HttpTarget, httpGet, httpTarget, urlOf } from '../http-get.ts';
import type { HttpGetAction, Probe } from '../kinds.ts';
import { timerMs } from '../times.ts';
import { checkGrpc } from './grpc.ts';
import { type CheckResult, timeoutMs } from './thresholds.ts';

const USER_AGENT = 'kube-probe/1.32';
const REDIRECTS_MAX = 10;

/** The result of one probe; never rejects unless `signal` fires. */
export async function check(
  services: PodServices,
  target: HookTarget,
  probe: Probe,
  signal: AbortSignal,
): Promise<CheckResult> {
  const deadlineMs = timerMs(timeoutMs(probe));
  try {
    return await withDeadline((inner) => perform(services, target, probe, inner), {
      deadlineMs,
      clock: services.clock,
      what: 'the probe',
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    const message = hasCode(error, 'deadline-exceeded')
      ? timeoutText(services, target, probe)
      : messageOf(error);
    return { kind: 'failure', message };
  }
}

async function perform(
  services: PodServices,
  target: HookTarget,
  probe: Probe,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { exec, httpGet: get, tcpSocket, grpc } = probe;
  if (exec) {
    const command = exec.command ?? [];
    const { exitCode, output } = await services.runtime.execSync(target.id, command, {}, signal);
    return { kind: exitCode === 0 ? 'success' : 'failure', message: output };
  }
  if (get) return checkHttp(httpTargetOf(services, target, get), signal);
  if (tcpSocket) {
    const host = tcpSocket.host || podIPOf(services, target);
    return checkTcp(services, host, required(target, tcpSocket.port), signal);
  }
  if (grpc) {
    const host = podIPOf(services, target);
    return checkGrpc({ host, port: grpc.port, service: grpc.service ?? '' }, signal);
  }
  return { kind: 'failure', message: 'missing probe handler' };
}

async function checkHttp(target: HttpTarget, signal: AbortSignal): Promise<CheckResult> {
  let where = target;
  for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
    const answer = await httpGet(where, { userAgent: USER_AGENT, signal });
    if (answer.kind === 'failed') return { kind: 'failure', message: answer.message };
    const { status, body, location } = answer;
    const redirects = status >= 300 && status < 400 && location !== undefined;
    const next = redirects ? redirected(where, location) : undefined;
    if (next === undefined) {
      if (status >= 200 && status < 400) return { kind: 'success', message: body };
      return { kind: 'failure', message: `HTTP probe failed with statuscode: ${status}` };
    }
    where = next;
  }
  return {
    kind: 'failure',
    message: `Get "${urlOf(where)}": stopped after ${REDIRECTS_MAX} redirects`,
  };
}

/** Where a redirect leads on the same host; undefined when it leaves the host, which counts as success. */
function redirected(from: HttpTarget, location: string): HttpTarget | undefined {
  const url = URL.parse(location, urlOf(from));
  if (url === null || url.hostname.replace(/^\[|\]$/g, '') !== from.host) return undefined;
  const scheme = url.protocol === 'https:' ? 'HTTPS' : 'HTTP';
  const port = Number(url.port) || (scheme === 'HTTPS' ? 443 : 80);
  return { ...from, scheme, port, path: url.pathname + url.search };
}

async function checkTcp(
  services: PodServices,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<CheckResult> {
  try {
    const connection = await services.dialer.connect(host, port, signal);
    connection.abort();
    return { kind: 'success', message: '' };
  } catch (error) {
    return { kind: 'failure', message: messageOf(error) };
  }
}

function httpTargetOf(services: PodServices, target: HookTarget, get: HttpGetAction): HttpTarget {
  const podIP = podIPOf(services, target);
  return httpTarget(get, { podIP, port: required(target, get.port) });
}

function required(target: HookTarget, port: number | string): number {
  const number = portNumber(target.spec, port);
  if (number === undefined) {
    throw new SkeinError('config-invalid', `couldn't find port: "${port}"`);
  }
  return number;
}

function timeoutText(services: PodServices, target: HookTarget, probe: Probe): string {
  const seconds = timeoutMs(probe) / 1000;
  const { exec, httpGet: get, tcpSocket, grpc } = probe;
  if (exec) {
    return `command timed out: "${(exec.command ?? []).join(' ')}" timed out after ${seconds}s`;
  }
  if (get) {
    const url = urlOf(httpTargetOf(services, target, get));
    return `Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
  }
  const host = tcpSocket?.host || podIPOf(services, target);
  const port = tcpSocket?.port ?? grpc?.port ?? '';
  if (grpc) return `timeout: failed to connect service "${host}:${port}" within ${seconds}s`;
  return `dial tcp ${host}:${port}: i/o timeout`;
}
