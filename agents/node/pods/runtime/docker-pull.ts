/** Pulls an image, and tells a registry that refuses from one that does not answer. */

import type Docker from 'dockerode';
import type { Clock } from '../../../../src/lib/clock.ts';
import type { PullOutcome, RegistryAuth } from '../ports.ts';
import { dockerMessage, isRegistryUnreachable } from './docker-errors.ts';

export type PullOptions = {
  /** Longest wait for the registry's first answer. */
  readonly answerMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

type Progress = { readonly error?: string; readonly status?: string };

/**
 * Pulls `name`. Docker waits long for a registry that is silent: with no answer within `answerMs` it
 * counts as unreachable. Rejects only when the signal fires.
 */
export async function pullImage(
  docker: Docker,
  name: string,
  auth: RegistryAuth | undefined,
  options: PullOptions,
): Promise<PullOutcome> {
  const { answerMs, clock, signal } = options;
  const silent = new AbortController();
  const timer = clock.after(answerMs, () => silent.abort());
  const either = AbortSignal.any([signal, silent.signal]);
  try {
    const stream = await docker.pull(name, {
      ...(auth ? { authconfig: auth } : {}),
      abortSignal: either,
    });
    const failure = await follow(stream, () => timer.cancel(), either);
    return failure === undefined ? { kind: 'pulled' } : outcomeOf(failure);
  } catch (error) {
    signal.throwIfAborted();
    if (silent.signal.aborted) {
      return { kind: 'unreachable', message: `the registry did not answer within ${answerMs} ms` };
    }
    return outcomeOf(dockerMessage(error));
  } finally {
    timer.cancel();
  }
}

async function follow(
  stream: NodeJS.ReadableStream,
  onAnswer: () => void,
  signal: AbortSignal,
): Promise<string | undefined> {
  const onAbort = () => (stream as unknown as { destroy(): void }).destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  let rest = '';
  let failure: string | undefined;
  try {
    for await (const chunk of stream) {
      onAnswer();
      rest += String(chunk);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.trim() === '') continue;
        const progress = JSON.parse(line) as Progress;
        if (progress.error) failure = progress.error;
      }
    }
    signal.throwIfAborted();
    return failure;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function outcomeOf(message: string): PullOutcome {
  const kind = isRegistryUnreachable(message) ? 'unreachable' : 'refused';
  return { kind, message };
}
