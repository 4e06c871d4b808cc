/** Probes and lifecycle hooks. */
import { forbidden, invalid, notSupported, required } from '../field-errors.ts';
import type { HTTPGetAction, Lifecycle, LifecycleHandler, Probe } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { validateNonNegative, validatePortOrName } from './values.ts';

const HTTP_HEADER_NAME = /^[-A-Za-z0-9]+$/;
const ONE_HANDLER = 'may not specify more than 1 handler type';

/** Which probe it is: success thresholds and grace periods differ. */
export type ProbeRole = 'liveness' | 'readiness' | 'startup';

/** A handler of either a probe or a hook. */
type Handler = {
  readonly exec?: { command?: readonly string[] | undefined } | undefined;
  readonly httpGet?: HTTPGetAction | undefined;
  readonly tcpSocket?: { port: number | string } | undefined;
  readonly grpc?: { port: number } | undefined;
  readonly sleep?: { seconds: number } | undefined;
};

/** Failures in a probe. Absent is fine. */
export function validateProbe(
  probe: Probe | undefined,
  role: ProbeRole,
  field: string,
): FieldError[] {
  if (probe === undefined) return [];
  const errors = handlerErrors(probe, undefined, field);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    errors.push(...validateNonNegative(probe[name], `${field}.${name}`));
  }
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    errors.push(invalid(`${field}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  }
  if (role === 'readiness') {
    if (grace !== undefined) {
      errors.push(
        invalid(
          `${field}.terminationGracePeriodSeconds`,
          grace,
          'must not be set for readinessProbes',
        ),
      );
    }
  } else if (probe.successThreshold !== 1) {
    errors.push(invalid(`${field}.successThreshold`, probe.successThreshold ?? 0, 'must be 1'));
  }
  return errors;
}

/** Failures in lifecycle hooks; `gracePeriod` bounds a sleep. */
export function validateLifecycle(
  lifecycle: Lifecycle | undefined,
  gracePeriod: number | undefined,
  field: string,
): FieldError[] {
  if (lifecycle === undefined) return [];
  const hook = (handler: LifecycleHandler | undefined, name: string) =>
    handler === undefined ? [] : handlerErrors(handler, gracePeriod, `${field}.${name}`);
  return [...hook(lifecycle.postStart, 'postStart'), ...hook(lifecycle.preStop, 'preStop')];
}

function handlerErrors(
  handler: Handler,
  gracePeriod: number | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let given = 0;
  const checkOne = (name: keyof Handler, check: () => FieldError[]) => {
    if (handler[name] === undefined) return;
    given += 1;
    if (given > 1) errors.push(forbidden(`${field}.${name}`, ONE_HANDLER));
    else errors.push(...check());
  };
  checkOne('exec', () =>
    (handler.exec?.command ?? []).length === 0 ? [required(`${field}.exec.command`)] : [],
  );
  checkOne('httpGet', () =>
    handler.httpGet === undefined ? [] : httpGetErrors(handler.httpGet, `${field}.httpGet`),
  );
  checkOne('tcpSocket', () =>
    validatePortOrName(handler.tcpSocket?.port, `${field}.tcpSocket.port`),
  );
  checkOne('grpc', () => validatePortOrName(handler.grpc?.port, `${field}.grpc.port`));
  checkOne('sleep', () => {
    const seconds = handler.sleep?.seconds ?? 0;
    if (gracePeriod === undefined || (seconds >= 0 && seconds <= gracePeriod)) return [];
    const why = `must be non-negative and less than terminationGracePeriodSeconds (${gracePeriod})`;
    return [invalid(`${field}.sleep`, seconds, why)];
  });
  if (given === 0) errors.push(required(field, 'must specify a handler type'));
  return errors;
}

function httpGetErrors(action: HTTPGetAction, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if ((action.path ?? '') === '') errors.push(required(`${field}.path`));
  errors.push(...validatePortOrName(action.port, `${field}.port`));
  if (action.scheme !== 'HTTP' && action.scheme !== 'HTTPS') {
    errors.push(notSupported(`${field}.scheme`, action.scheme ?? '', ['HTTP', 'HTTPS']));
  }
  for (const header of action.httpHeaders ?? []) {
    if (HTTP_HEADER_NAME.test(header.name ?? '')) continue;
    errors.push(
      invalid(
        `${field}.httpHeaders`,
        header.name ?? '',
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
      ),
    );
  }
  return errors;
}
