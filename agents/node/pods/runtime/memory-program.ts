/**
 * The shell words that containers of the in-memory runtime understand: echo, exit, sleep, cat, true,
 * false, and `trap "exit N" TERM`, joined by semicolons. Enough to tell programs apart, no more.
 */

import type { Clock, Timer } from '../../../../src/lib/clock.ts';
import { timerMs } from '../times.ts';

export type ProgramListener = {
  onOutput(text: string): void;
  onExit(code: number): void;
};

const WORDS = new Set(['echo', 'exit', 'sleep', 'cat', 'true', 'false', 'trap', 'wait']);

/** The statements of a command line; undefined for a program that does not exist. */
export function statementsOf(command: readonly string[]): readonly string[] | undefined {
  const [program = ''] = command;
  const name = program.slice(program.lastIndexOf('/') + 1);
  if (name === 'sh' && command[1] === '-c') {
    return (command[2] ?? '')
      .split(/;|&(?!\d)/)
      .map((text) => text.trim())
      .filter((text) => text !== '');
  }
  return WORDS.has(name) ? [[name, ...command.slice(1)].join(' ')] : undefined;
}

export class MemoryProcess {
  readonly #statements: readonly string[];
  readonly #clock: Clock;
  readonly #listener: ProgramListener;
  #at = 0;
  #timer: Timer | undefined;
  #trapCode: number | undefined;
  #over = false;

  private constructor(statements: readonly string[], clock: Clock, listener: ProgramListener) {
    this.#statements = statements;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** A process for the command; undefined if there is no such program. */
  static of(
    command: readonly string[],
    clock: Clock,
    listener: ProgramListener,
  ): MemoryProcess | undefined {
    const statements = statementsOf(command);
    return statements && new MemoryProcess(statements, clock, listener);
  }

  /** Runs until the program ends or sleeps. */
  run(): void {
    let code = 0;
    while (!this.#over && this.#at < this.#statements.length) {
      const [word = '', ...rest] = (this.#statements[this.#at++] ?? '').split(' ');
      switch (word) {
        case 'echo':
          this.#listener.onOutput(`${rest.join(' ')}\n`);
          break;
        case 'exit':
          this.#exit(Number(rest[0] ?? 0));
          return;
        case 'sleep':
          this.#sleep(Number(rest[0] ?? 0) * 1000);
          return;
        case 'trap':
          this.#trapCode = Number(/exit (\d+)/.exec(rest.join(' '))?.[1] ?? 0);
          break;
        case 'false':
          code = 1;
          break;
        default:
          code = 0;
      }
    }
    this.#exit(code);
  }

  /** SIGTERM: process 1 without a handler ignores it. */
  terminate(): void {
    if (this.#trapCode !== undefined) this.#exit(this.#trapCode);
  }

  /** Ends without a word. */
  end(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  #sleep(ms: number): void {
    this.#timer = this.#clock.after(timerMs(ms), () => this.run());
  }

  #exit(code: number): void {
    if (this.#over) return;
    this.end();
    this.#listener.onExit(code);
  }
}
