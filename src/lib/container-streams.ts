/**
 * The port between the API (which serves log and exec requests on any node) and the node whose
 * container is meant. The node's pod agent implements it against its runtime; the composition
 * carries it over a mesh tunnel when the pod is elsewhere. Every stream has backpressure: the
 * producer waits while the consumer does.
 */

export type ContainerTarget = {
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
};

/** As the query of GET pods/log; times are RFC 3339. */
export type LogOptions = {
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  readonly sinceSeconds?: number;
  readonly sinceTime?: string;
};

export type ExecOptions = {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
};

export type ExecOutput = { readonly channel: 'stdout' | 'stderr'; readonly data: Uint8Array };

export type ExecExit =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'failed'; readonly message: string };

/** A running exec or attach session. */
export interface ExecSession {
  /** Resolves when the bytes were taken (backpressure). */
  writeStdin(data: Uint8Array): Promise<void>;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  readonly output: AsyncIterable<ExecOutput>;
  readonly exit: Promise<ExecExit>;
  /** Ends the session from our side. */
  abort(): void;
}

export interface ContainerStreams {
  /** Log bytes; rejects with code runtime-failed and a message for the user if there are none to read. */
  logs(
    target: ContainerTarget,
    options: LogOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  exec(target: ContainerTarget, options: ExecOptions, signal: AbortSignal): Promise<ExecSession>;
  attach(
    target: ContainerTarget,
    options: Omit<ExecOptions, 'command'>,
    signal: AbortSignal,
  ): Promise<ExecSession>;
  /** A duplex byte stream to a TCP port inside the pod's network namespace. */
  portForward(
    target: Omit<ContainerTarget, 'container'>,
    port: number,
    signal: AbortSignal,
  ): Promise<ByteDuplex>;
}

/** Raw bytes both ways. */
export interface ByteDuplex {
  write(data: Uint8Array): Promise<void>;
  closeWrite(): void;
  readonly input: AsyncIterable<Uint8Array>;
  abort(): void;
}
