/** One leader per term: who claimed to lead, by the word of each node's status and of its log. */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export class Leaders {
  readonly #byTerm = new Map<number, Set<string>>();

  /** `node` says that it leads, or led, in `term`. */
  claim(term: number, node: string): void {
    const known = this.#byTerm.get(term);
    if (known) known.add(node);
    else this.#byTerm.set(term, new Set([node]));
  }

  get terms(): number {
    return this.#byTerm.size;
  }

  /** Terms with more than one leader, in words. Must be empty. */
  get duplicates(): readonly string[] {
    return [...this.#byTerm]
      .filter(([, nodes]) => nodes.size > 1)
      .map(([term, nodes]) => `term ${term} was led by ${[...nodes].sort().join(' and ')}`);
  }

  /** Takes every leadership that a node's log tells of. */
  async readLog(path: string): Promise<void> {
    for await (const line of createInterface({ input: createReadStream(path) })) {
      if (!line.includes('"leadership gained"')) continue;
      const { term, node } = JSON.parse(line) as { term: number; node: string };
      this.claim(term, node);
    }
  }
}
