/** A command in a container of the in-memory runtime: `cat` gives back its input, the rest as programs do. */

import type { Clock } from '../../../../src/lib/clock.ts';
import type { ExecExit, ExecOutput, ExecSession } from '../../../../src/lib/container-streams.ts';
import { MemoryProcess, statementsOf } from './memory-program.ts';

const COMMAND_NOT_FOUND = 127;

export class MemorySession implements ExecSession {
  readonly output: AsyncIterable<ExecOutput>;
  readonly exit: Promise<ExecExit>;
  readonly #queue: ExecOutput[] = [];
  readonly #echoes: boolean;
  readonly #process: MemoryProcess | undefined;
  #finish: (exit: ExecExit) => void = () => {};
  #wake: () => void = () => {};
  #over = false;

  constructor(command: readonly string[], clock: Clock, signal: AbortSignal) {
    this.exit = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.output = this.#read();
    const statements = statementsOf(command);
    const words = statements ?? [];
    this.#echoes = words[0] === 'cat';
    signal.addEventListener('abort', () => this.abort(), { once: true });
    const rest = this.#echoes ? words.slice(1) : words;
    this.#process = MemoryProcess.of(['sh', '-c', rest.join(';')], clock, {
      onOutput: (text) => this.#push(Buffer.from(text)),
      onExit: (code) => this.#end({ kind: 'exited', code }),
    });
    if (statements === undefined) this.#end({ kind: 'exited', code: COMMAND_NOT_FOUND });
    else if (!this.#echoes) queueMicrotask(() => this.#process?.run());
  }

  async writeStdin(data: Uint8Array): Promise<void> {
    if (this.#echoes) this.#push(data);
  }

  closeStdin(): void {
    if (this.#echoes) this.#process?.run();
  }

  resize(): void {}

  abort(): void {
    this.#process?.end();
    this.#end({ kind: 'failed', message: 'aborted' });
  }

  #push(data: Uint8Array): void {
    this.#queue.push({ channel: 'stdout', data });
    this.#wake();
  }

  #end(exit: ExecExit): void {
    this.#over = true;
    this.#finish(exit);
    this.#wake();
  }

  async *#read(): AsyncGenerator<ExecOutput> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        yield next;
        continue;
      }
      if (this.#over) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
