/**
 * Bytes from a source that pushes to a consumer that pulls, with a mark above which the source is asked to pause.
 */

/** Above this much unread data a source should pause. */
export const CHANNEL_BYTES_HIGH = 256 * 1024;

/** One direction of a byte stream. */
export class ByteChannel implements AsyncIterable<Uint8Array> {
  readonly #bytesHigh: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];
  /** Called with the size of each chunk that the consumer took. */
  onTaken: ((bytes: number) => void) | undefined;

  constructor(bytesHigh = CHANNEL_BYTES_HIGH) {
    this.#bytesHigh = bytesHigh;
  }

  /** True while more is held than the mark. */
  get full(): boolean {
    return this.#bytes > this.#bytesHigh;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Adds data; false asks the source to wait for `drained`. Data after the end is dropped. */
  push(data: Uint8Array): boolean {
    if (this.#ended) return true;
    if (data.length > 0) {
      this.#chunks.push(data);
      this.#bytes += data.length;
      this.#wakeReader?.();
    }
    return !this.full;
  }

  /** Resolves when the channel is no longer full, or has ended. */
  drained(): Promise<void> {
    if (!this.full || this.#ended) return Promise.resolve();
    return new Promise((resolve) => this.#wakeWriters.push(resolve));
  }

  /** No more data; what is held can still be read. */
  end(): void {
    this.#ended = true;
    this.#wakeReader?.();
    this.#releaseWriters();
  }

  /** Ends at once: what is held is dropped, and the reader gets `error`, or the end without one. */
  abort(error?: Error): void {
    this.#error ??= error;
    this.#chunks = [];
    this.#bytes = 0;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#bytes -= chunk.length;
          if (!this.full) this.#releaseWriters();
          this.onTaken?.(chunk.length);
          yield chunk;
          continue;
        }
        if (this.#error !== undefined) throw this.#error;
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
        this.#wakeReader = undefined;
      }
    } finally {
      // Whoever stops reading takes no more: a source must not wait for it.
      this.abort();
    }
  }

  #releaseWriters(): void {
    const waiting = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const wake of waiting) wake();
  }
}
