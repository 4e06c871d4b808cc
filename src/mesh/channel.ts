/** A bounded queue between one producer that waits when it is full and one consumer that waits when it is empty. */

type Taker<T> = {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: Error) => void;
};

export class Channel<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  readonly #onCancel: () => void;
  #items: T[] = [];
  #taker: Taker<T> | undefined;
  #room: (() => void) | undefined;
  #ending: { readonly error: Error | undefined } | undefined;

  /**
   * @param capacity items held before `put` waits, at least 1.
   * @param onCancel called when the consumer leaves its loop early.
   */
  constructor(capacity: number, onCancel: () => void = () => {}) {
    this.#capacity = capacity;
    this.#onCancel = onCancel;
  }

  /** Hands over an item; resolves when there is room for the next, or the channel has ended. */
  put(item: T): Promise<void> {
    if (this.#ending !== undefined) return Promise.resolve();
    const taker = this.#taker;
    if (taker !== undefined) {
      this.#taker = undefined;
      taker.resolve({ done: false, value: item });
      return Promise.resolve();
    }
    this.#items.push(item);
    if (this.#items.length < this.#capacity) return Promise.resolve();
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  /** No more items: the consumer gets what is held, then the end, or the error. */
  end(error?: Error): void {
    if (this.#ending !== undefined) return;
    this.#ending = { error };
    this.#makeRoom();
    const taker = this.#taker;
    this.#taker = undefined;
    if (taker === undefined) return;
    if (error !== undefined) taker.reject(error);
    else taker.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#items = [];
        this.end();
        this.#onCancel();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      this.#makeRoom();
      return Promise.resolve({ done: false, value });
    }
    const ending = this.#ending;
    if (ending?.error !== undefined) return Promise.reject(ending.error);
    if (ending !== undefined) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#taker = { resolve, reject };
    });
  }

  #makeRoom(): void {
    const room = this.#room;
    this.#room = undefined;
    room?.();
  }
}
