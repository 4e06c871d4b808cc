/** GET pods/<name>/log: the container's output as plain text, at the client's pace. */

import type { Clock } from '../../lib/clock.ts';
import type { LogOptions } from '../../lib/container-streams.ts';
import { hasCode, messageOf } from '../../lib/errors.ts';
import type { FieldError } from '../../resources/types.ts';
import { drained } from '../http/drain.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Query } from '../http/query.ts';
import { badRequest, invalid } from '../status.ts';
import { containerOf, type PodComponents, type PodView, streamsOf } from './pod-target.ts';

/** People read logs page by page; a connection that is dead is found by TCP much sooner. */
export const READER_PATIENCE_MS = 3_600_000;

/** Answers a log request. Rejects with ApiError as long as nothing was sent. */
export async function serveLog(
  components: PodComponents & { readonly clock: Clock },
  exchange: Exchange,
  pod: PodView,
): Promise<void> {
  const { response, query, signal } = exchange;
  const options = logOptions(query, pod.metadata.name);
  const target = containerOf(pod, query.text('container'));
  if ((pod.spec.nodeName ?? '') === '') {
    // Upstream's answer for a pod that has not been placed: nothing yet, and no error.
    response.writeHead(204);
    response.end();
    return;
  }
  const streams = await streamsOf(components, pod);
  exchange.withoutDeadline();
  let output: AsyncIterable<Uint8Array>;
  try {
    output = await streams.logs(target, options, signal);
  } catch (error) {
    throw hasCode(error, 'runtime-failed') ? badRequest(messageOf(error)) : error;
  }
  response.writeHead(200, ['Content-Type', 'text/plain', 'Cache-Control', 'no-cache, private']);
  response.flushHeaders();
  try {
    for await (const chunk of output) {
      if (!response.write(chunk))
        await drained(response, components.clock, { deadlineMs: READER_PATIENCE_MS });
    }
    response.end();
  } catch {
    // A cut connection is how a client tells a log that broke off from one that ended.
    response.destroy();
  }
}

/** The options of the query. Throws 422 as upstream does. */
export function logOptions(query: Query, podName: string): LogOptions {
  const tailLines = query.whole('tailLines');
  const limitBytes = query.whole('limitBytes');
  const sinceSeconds = query.whole('sinceSeconds');
  const sinceTime = query.text('sinceTime');
  const errors: FieldError[] = [];
  const atLeast = (field: string, value: number | undefined, least: number, detail: string) => {
    if (value === undefined || value >= least) return;
    errors.push({ type: 'Invalid', field, badValue: value, detail });
  };
  atLeast('tailLines', tailLines, 0, 'must be greater than or equal to 0');
  atLeast('limitBytes', limitBytes, 1, 'must be greater than 0');
  atLeast('sinceSeconds', sinceSeconds, 1, 'must be greater than 0');
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    const detail = 'at most one of `sinceTime` or `sinceSeconds` may be specified';
    errors.push({ type: 'Forbidden', field: '', detail });
  }
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime))) {
    errors.push({
      type: 'Invalid',
      field: 'sinceTime',
      badValue: sinceTime,
      detail: 'must be a time in RFC 3339 form',
    });
  }
  const stream = query.text('stream');
  if (stream !== undefined && stream !== 'All') {
    errors.push({ type: 'NotSupported', field: 'stream', badValue: stream, detail: 'only "All"' });
  }
  if (errors.length > 0) {
    throw invalid({ group: '', plural: 'pods', kind: 'PodLogOptions' }, podName, errors);
  }
  return {
    follow: query.flag('follow'),
    previous: query.flag('previous'),
    timestamps: query.flag('timestamps'),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === undefined ? {} : { sinceTime }),
  };
}
