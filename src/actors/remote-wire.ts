/**
 * The frames between the actor systems of two nodes. References in messages travel as their paths and
 * arrive as references of the receiving system.
 */

import { addExtension, Packr } from 'msgpackr';
import type { AskFailure } from './asks.ts';
import { PathRef, type Postman, ReplyPathRef } from './refs.ts';

export type RemoteFrame =
  | {
      readonly kind: 'tell';
      readonly path: string;
      readonly message: unknown;
      /** Of an ask: the reply to fail if the message finds no taker. */
      readonly replyId: number | undefined;
    }
  | { readonly kind: 'ask-failed'; readonly replyId: number; readonly reason: AskFailure }
  | { readonly kind: 'watch'; readonly watchId: number; readonly path: string }
  | { readonly kind: 'unwatch'; readonly watchId: number }
  | { readonly kind: 'terminated'; readonly watchId: number };

const KINDS = ['tell', 'ask-failed', 'watch', 'unwatch', 'terminated'] as const;

/** The system whose frame is being decoded; decoding is synchronous. */
let receiver: Postman | undefined;

const REF_TYPE = 1;
const REPLY_TYPE = 2;

function postman(): Postman {
  if (receiver === undefined) throw new Error('a reference is decoded by an actor system only');
  return receiver;
}

addExtension({
  Class: PathRef,
  type: REF_TYPE,
  write: (ref: PathRef<unknown>) => ref.path,
  read: (path: string) => new PathRef(path, postman()),
});
addExtension({
  Class: ReplyPathRef,
  type: REPLY_TYPE,
  write: (ref: ReplyPathRef<unknown>) => ref.path,
  read: (path: string) => new ReplyPathRef(path, postman()),
});

const packr = new Packr({ useRecords: false, copyBuffers: true });

/** Throws if the message holds what msgpack cannot carry. */
export function encodeFrame(frame: RemoteFrame): Uint8Array {
  const kind = KINDS.indexOf(frame.kind);
  switch (frame.kind) {
    case 'tell':
      return packr.pack([kind, frame.path, frame.message, frame.replyId ?? 0]);
    case 'ask-failed':
      return packr.pack([kind, frame.replyId, frame.reason]);
    case 'watch':
      return packr.pack([kind, frame.watchId, frame.path]);
    case 'unwatch':
    case 'terminated':
      return packr.pack([kind, frame.watchId]);
  }
}

/** Decodes a frame for `system`. Throws on damaged bytes. */
export function decodeFrame(bytes: Uint8Array, system: Postman): RemoteFrame {
  receiver = system;
  try {
    const [kindIndex, first, second, third] = packr.unpack(bytes) as unknown[];
    const kind = KINDS[Number(kindIndex)];
    switch (kind) {
      case 'tell': {
        const replyId = Number(third) || undefined;
        return { kind, path: String(first), message: second, replyId };
      }
      case 'ask-failed':
        return { kind, replyId: Number(first), reason: second as AskFailure };
      case 'watch':
        return { kind, watchId: Number(first), path: String(second) };
      case 'unwatch':
      case 'terminated':
        return { kind, watchId: Number(first) };
      default:
        throw new Error(`unknown kind of frame ${String(kindIndex)}`);
    }
  } finally {
    receiver = undefined;
  }
}
