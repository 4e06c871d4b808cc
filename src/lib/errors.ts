/**
 * The one registry of operational errors: things that go wrong although our code is right (a peer is
 * gone, a deadline passed, Docker refused). Each has a literal `code` that callers branch on; nobody
 * matches on message text. They become a Kubernetes Status at the API's edge only.
 */

/** Every operational error code, with one line on when it is raised. */
export const ERROR_CODES = {
  aborted: 'The caller withdrew, or the component is stopping.',
  'deadline-exceeded': 'The work did not end before its deadline; its outcome may be unknown.',
  'no-leader': 'No leader is known, or a quorum of voters is out of reach.',
  'not-leader': 'This node does not lead; the hint may name who does.',
  'proposal-dropped':
    'The leader refused a proposal before it entered the log; it certainly has no effect.',
  'outcome-unknown': 'A write was sent, and its fate could not be learnt.',
  fenced: 'A write carried the term of a leadership that has ended.',
  'peer-unreachable': 'No connection to the peer could be made, or it broke.',
  'not-admitted': 'The peer is not a member of this cluster, or the token is wrong.',
  'stream-closed': 'The other side closed the stream before the exchange was complete.',
  'frame-too-large': 'A frame exceeds the limit of its protocol.',
  overloaded: 'Too much of this work is under way here; it may be tried again later.',
  'remote-failed': 'The peer does not serve the request, or its handler failed unexpectedly.',
  'mailbox-full': 'The actor cannot take the message now.',
  'actor-stopped': 'The actor has stopped, or never existed.',
  'data-damaged': 'Stored data fails its checksum, or belongs to another node.',
  'key-missing': 'Stored secrets are sealed under a key that this node does not have.',
  'version-unsupported':
    'The cluster, or stored data, is of a version that this one does not understand.',
  'disk-failed': 'A durable write failed; the process must end.',
  'store-full': 'There is no room for more: the space quota is used up, or the disk nearly full.',
  'command-failed': 'A program we ran could not start, failed, or took too long.',
  'runtime-failed': 'The container runtime refused or failed a call.',
  'network-failed': 'Pod network, routes or nftables could not be set up.',
  'config-invalid': 'A flag, variable or configuration key has a bad value.',
  'prerequisite-missing': 'The machine lacks something Skein needs.',
  'api-status': 'The API answered with a Status that is not Success.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export type SkeinErrorOptions = {
  /** The lower error that led here. */
  readonly cause?: unknown;
  /** True if the same call may succeed later without a change by the caller. Default false. */
  readonly retryable?: boolean;
};

/** Base of all operational errors. */
export class SkeinError extends Error {
  override readonly name: string = 'SkeinError';
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: SkeinErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The message of anything thrown, for logs and Status texts. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True if `error` is an operational error with one of `codes`. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is SkeinError {
  return error instanceof SkeinError && codes.includes(error.code);
}
