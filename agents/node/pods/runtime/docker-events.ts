/** Docker's event stream, as events of containers that carry a label. */

import type Docker from 'dockerode';
import type { ContainerEvent } from '../ports.ts';

const KINDS: Readonly<Record<string, ContainerEvent['kind']>> = {
  start: 'started',
  die: 'exited',
  destroy: 'removed',
};

/** A line longer than this is no event of ours. */
const LINE_CHARS_MAX = 1024 * 1024;

type DockerEvent = {
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Record<string, string> };
};

/** Streams events until the daemon closes the stream (resolves), fails, or the signal fires (rejects). */
export async function watchEvents(
  docker: Docker,
  label: string,
  listener: { onConnected(): void; onEvent(event: ContainerEvent): void },
  signal: AbortSignal,
): Promise<void> {
  const filters = { type: ['container'], label: [label], event: Object.keys(KINDS) };
  const stream = await docker.getEvents({ filters: JSON.stringify(filters), abortSignal: signal });
  const onAbort = () => (stream as unknown as { destroy(): void }).destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    listener.onConnected();
    let rest = '';
    for await (const chunk of stream) {
      rest += String(chunk);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARS_MAX) rest = '';
      for (const line of lines) {
        const event = parse(line);
        if (event) listener.onEvent(event);
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function parse(line: string): ContainerEvent | undefined {
  if (line.trim() === '') return undefined;
  const { Action = '', Actor } = JSON.parse(line) as DockerEvent;
  const kind = KINDS[Action];
  if (kind === undefined || !Actor?.ID) return undefined;
  return { kind, id: Actor.ID, labels: Actor.Attributes ?? {} };
}
