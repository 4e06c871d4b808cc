/** What runs did, in numbers and in words. */

import type { Outcome, RunOptions } from './simulation.ts';
import { runSeed } from './simulation.ts';

/** What is known of a failing seed, its last events and how to see it again. */
export async function describeFailure(
  { seed, failure }: Pick<Outcome, 'seed' | 'failure'>,
  options: RunOptions,
  how: {
    readonly events: number;
    readonly replay: string;
    /** Tells the story again. Default: of a group. */
    readonly run?: typeof runSeed;
  },
): Promise<string> {
  if (failure === undefined) return `seed ${seed} holds`;
  const { events, replay, run = runSeed } = how;
  const last: string[] = [];
  // The same seed does the same again; this time it is written down.
  await run(seed, {
    ...options,
    trace: (line) => {
      last.push(line);
      if (last.length > events * 2) last.splice(0, events);
    },
  });
  const facts = Object.entries(failure.facts).map(([name, value]) => `    ${name}: ${value}`);
  return [
    `seed ${seed} BREAKS ${failure.checker}: ${failure.law} (at ${failure.atMs.toFixed(3)} ms)`,
    ...facts,
    ...(facts.length === 0 ? failure.stack.split('\n').slice(1, 9) : []),
    '  last events:',
    ...last.slice(-events).map((line) => (line.length > 300 ? `${line.slice(0, 300)}...` : line)),
    `  replay: ${replay}`,
  ].join('\n');
}

/** Adds up what the runs did. */
export class Sum {
  readonly #startMs = performance.now();
  readonly #counts = new Map<string, number>();
  #runs = 0;
  #failed = 0;
  #simulatedMs = 0;
  #steps = 0;
  #committed = 0;
  #elections = 0;

  add(outcome: Omit<Outcome, 'blows'>): void {
    this.#runs++;
    if (outcome.failure !== undefined) this.#failed++;
    this.#simulatedMs += outcome.simulatedMs;
    this.#steps += outcome.steps;
    this.#committed += outcome.committed;
    this.#elections += outcome.elections;
    for (const [what, times] of outcome.counts) {
      this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
    }
  }

  get runs(): number {
    return this.#runs;
  }

  get elections(): number {
    return this.#elections;
  }

  count(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  /** What occurred, by name. */
  counts(): readonly string[] {
    return [...this.#counts.keys()].sort();
  }

  tally(): string {
    return this.counts()
      .map((name) => `  ${name.padEnd(32)} ${this.#counts.get(name)}`)
      .join('\n');
  }

  line(): string {
    const minutes = (performance.now() - this.#startMs) / 60_000;
    const perMinute = (count: number) => Math.round(count / minutes);
    const hours = this.#simulatedMs / 3_600_000 / minutes;
    return [
      `${this.#runs} seeds, ${this.#failed} failed`,
      `${perMinute(this.#runs)} schedules/min`,
      `${hours.toFixed(2)} simulated h/min`,
      `${perMinute(this.#steps)} steps/min`,
      `${this.#elections} elections, ${this.#committed} entries committed`,
    ].join('; ');
  }
}
