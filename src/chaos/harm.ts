/** Which hosts have trouble of our making, and since when: what they owe nobody meanwhile. */

/** Connections that broke and processes that start take this long to be well again. */
const AFTERMATH_MS = 3_000;

export class Harm {
  /** How many faults concern a host now. */
  readonly #current = new Map<string, number>();
  readonly #endedMs = new Map<string, number>();
  /** How often the containers of a host died with it. */
  readonly #losses = new Map<string, number>();

  /** A fault begins; call what is returned when it has ended. */
  begin(hosts: readonly string[]): () => void {
    for (const host of hosts) this.#current.set(host, (this.#current.get(host) ?? 0) + 1);
    return () => {
      for (const host of hosts) {
        this.#current.set(host, (this.#current.get(host) ?? 1) - 1);
        this.#endedMs.set(host, performance.now());
      }
    };
  }

  /** True if `host` was harmed at any time since `sinceMs`, or shortly before. */
  excused(host: string, sinceMs: number): boolean {
    if ((this.#current.get(host) ?? 0) > 0) return true;
    return (this.#endedMs.get(host) ?? -Infinity) + AFTERMATH_MS > sinceMs;
  }

  get hosts(): readonly string[] {
    return [...this.#current].filter(([, count]) => count > 0).map(([host]) => host);
  }

  /** The host dies with its containers, or its containers are removed. */
  loseContainers(host: string): void {
    this.#losses.set(host, this.lossesOf(host) + 1);
  }

  lossesOf(host: string): number {
    return this.#losses.get(host) ?? 0;
  }
}
