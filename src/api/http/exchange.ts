/** One request on its way through the server: what was asked, by whom, and where the answer goes. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestContext, UserInfo } from '../types.ts';
import type { Query } from './query.ts';

export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path of the URL, still percent-encoded. */
  readonly path: string;
  readonly query: Query;
  readonly user: UserInfo;
  /** Fires when the client goes away, the deadline passes or the server closes. */
  readonly signal: AbortSignal;
  readonly warnings: string[];
  /** Set when the client asked to leave HTTP (WebSocket, SPDY): the bare connection and what was read of it. */
  readonly upgrade?: { readonly socket: Duplex; readonly head: Buffer };
  /** Lifts the deadline: for watches and streams, which end otherwise. */
  readonly withoutDeadline: () => void;
};

/** The verbs' view of an exchange. */
export function contextOf(
  exchange: Exchange,
  more: Omit<Partial<RequestContext>, 'user' | 'signal' | 'warnings'> = {},
): RequestContext {
  return {
    user: exchange.user,
    signal: exchange.signal,
    warnings: exchange.warnings,
    ...more,
  };
}
