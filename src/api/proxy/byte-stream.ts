/** A pod's byte pipe as the stream that Node's HTTP and TLS clients work on. */

import { Duplex } from 'node:stream';
import type { ByteDuplex } from '../../lib/container-streams.ts';

/** Reads and writes `pipe`, with backpressure both ways; destroying it aborts the pipe. */
export class ByteStream extends Duplex {
  readonly #pipe: ByteDuplex;
  readonly #input: AsyncIterator<Uint8Array>;
  #reading = false;

  constructor(pipe: ByteDuplex) {
    super();
    this.#pipe = pipe;
    this.#input = pipe.input[Symbol.asyncIterator]();
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#input.next().then(
      ({ done, value }) => {
        this.#reading = false;
        if (done) this.push(null);
        else if (this.push(value)) this._read();
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#pipe.write(chunk).then(() => done(), done);
  }

  override _final(done: () => void): void {
    this.#pipe.closeWrite();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#pipe.abort();
    done(error);
  }
}
