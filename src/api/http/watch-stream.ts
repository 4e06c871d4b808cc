/**
 * Watches as streams of JSON lines. A frame is encoded once per event and representation, however many clients watch.
 * A client that does not take what it is sent is told so, as far as it can be told anything, and cut off.
 */

import type { ServerResponse } from 'node:http';
import type { Clock } from '../../lib/clock.ts';
import { hasCode } from '../../lib/errors.ts';
import type { KubeObject } from '../../resources/types.ts';
import type { StoredObject } from '../../store/types.ts';
import { type IncludeObject, partialMetadata, table } from '../table/table.ts';
import type { ApiVerbs, Target, WatchEvent, WatchHandle } from '../types.ts';
import { tooSlow } from './errors.ts';
import type { FrameCache } from './frame-cache.ts';
import { listMetadata } from './list-bytes.ts';
import type { Representation } from './negotiate.ts';
import { addWarnings } from './respond.ts';
import type { SendBacklog } from './send-backlog.ts';

/** How one watcher wants its events. */
export type WatchView = {
  readonly target: Target;
  readonly representation: Representation;
  readonly include: IncludeObject;
  readonly verbs: Pick<ApiVerbs, 'bytesOf'>;
  readonly clock: Clock;
  readonly frames: FrameCache;
  readonly backlog: SendBacklog;
};

/** What is written at once, and so held for a client that does not read. */
const BATCH_BYTES_MAX = 64 * 1024;
/** How long a client that is cut off has to read why. */
const CUT_GRACE_MS = 5_000;

/** Writes events to the response until the watch or the client ends. Never rejects. */
export async function streamWatch(
  response: ServerResponse,
  handle: WatchHandle,
  view: WatchView,
  warnings: readonly string[],
): Promise<void> {
  const headers = ['Content-Type', 'application/json', 'Cache-Control', 'no-cache, private'];
  addWarnings(headers, warnings);
  response.writeHead(200, headers);
  // A client must learn at once that its watch stands, also when nothing happens for an hour.
  response.flushHeaders();
  response.socket?.setNoDelay(true);
  const onClose = () => handle.close();
  response.once('close', onClose);
  const encoder = new FrameEncoder(view);
  try {
    for await (const events of handle) {
      for (const chunk of encoder.encode(events)) {
        if (!response.write(chunk)) await view.backlog.drained(response);
      }
    }
    response.end();
  } catch (error) {
    if (hasCode(error, 'deadline-exceeded', 'overloaded')) cutOff(response, view.clock);
    else response.destroy();
  } finally {
    response.off('close', onClose);
    handle.close();
  }
}

/** A client that begins to read again finds out why its watch ended; one that does not is gone after a moment. */
function cutOff(response: ServerResponse, clock: Clock): void {
  const { status } = tooSlow();
  response.end(frameOf('ERROR', Buffer.from(JSON.stringify(status))));
  const timer = clock.after(CUT_GRACE_MS, () => response.destroy());
  response.once('close', () => timer.cancel());
}

/** Turns batches of events into chunks of frames for one watcher. */
export class FrameEncoder {
  readonly #view: WatchView;
  /** The first frame of a table carries the columns; clients remember them. */
  #columnsSent = false;

  constructor(view: WatchView) {
    this.#view = view;
  }

  *encode(events: readonly WatchEvent[]): Generator<Buffer> {
    let batch: Buffer[] = [];
    let size = 0;
    for (const event of events) {
      const frame = this.#frame(event);
      batch.push(frame);
      size += frame.length;
      if (size < BATCH_BYTES_MAX) continue;
      yield joined(batch);
      batch = [];
      size = 0;
    }
    if (batch.length > 0) yield joined(batch);
  }

  #frame(event: WatchEvent): Buffer {
    switch (event.type) {
      case 'ERROR':
        return frameOf('ERROR', Buffer.from(JSON.stringify(event.status)));
      case 'BOOKMARK':
        return frameOf('BOOKMARK', this.#bookmark(event.bytes, event.revision));
      default:
        return this.#objectFrame(event.type, event.item);
    }
  }

  #objectFrame(type: string, item: StoredObject): Buffer {
    const { target, representation } = this.#view;
    if (representation.shape === 'Table') {
      // Not shared: rows show ages, which differ for a watcher that comes later.
      const withColumns = !this.#columnsSent;
      this.#columnsSent = true;
      return frameOf(type, this.#table(item, withColumns));
    }
    const version =
      target.served === undefined ? '' : `${target.served.group}/${target.served.version}`;
    const id = `${type} ${representation.shape} ${representation.metaVersion} ${version}`;
    return this.#view.frames.frame(item, id, () => frameOf(type, this.#shaped(item)));
  }

  #shaped(item: StoredObject): Buffer {
    const { target, representation, verbs } = this.#view;
    if (representation.shape === 'Object') return verbs.bytesOf(target, item);
    return Buffer.from(partialMetadata(item, representation.metaVersion));
  }

  #table(item: StoredObject, withColumns: boolean): Buffer {
    const { target, representation, include, verbs, clock } = this.#view;
    const options = {
      kind: target.kind,
      metaVersion: representation.metaVersion,
      include,
      nowMs: clock.nowMs(),
      bytesOf: (one: StoredObject) => verbs.bytesOf(target, one),
    };
    return table(options, [item], listMetadata({ revision: item.revision }), withColumns);
  }

  /** A bookmark keeps its annotations (the end of the initial events) in every shape. */
  #bookmark(bytes: Buffer, revision: number): Buffer {
    const { shape, metaVersion } = this.#view.representation;
    if (shape === 'Object') return bytes;
    const { metadata } = JSON.parse(bytes.toString()) as KubeObject;
    const partial = {
      kind: 'PartialObjectMetadata',
      apiVersion: `meta.k8s.io/${metaVersion}`,
      metadata,
    };
    if (shape !== 'Table') return Buffer.from(JSON.stringify(partial));
    return Buffer.from(
      JSON.stringify({
        kind: 'Table',
        apiVersion: `meta.k8s.io/${metaVersion}`,
        metadata: { resourceVersion: String(revision) },
        columnDefinitions: [],
        rows: [{ cells: [], object: partial }],
      }),
    );
  }
}

/** One frame goes out as it is, the same memory to all who watch. */
function joined(frames: readonly Buffer[]): Buffer {
  const [only] = frames;
  return only !== undefined && frames.length === 1 ? only : Buffer.concat(frames);
}

const SUFFIX = Buffer.from('}\n');

function frameOf(type: string, object: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), object, SUFFIX]);
}
