/**
 * Which stored objects keep their parsed form. A parsed object takes two to three times the memory of its text, so
 * a large state cannot keep them all: the newest and the used ones stay, within a budget of text, and the others are
 * parsed again when somebody asks. Second chance: what was used since it was last looked at goes round once more.
 */

/** What the cache needs of a version. */
export interface Parsed {
  /** Length of the text. */
  readonly textBytes: number;
  /** True if it was asked for since the last call; forgets that. */
  takeUsed(): boolean;
  /** Lets go of the parsed form. */
  forget(): void;
}

/** Text whose parsed form is kept, all together: some 50 MiB of heap at worst. */
const PARSED_TEXT_BYTES_MAX = 16 * 1024 * 1024;

/** Versions that hold a parsed form, the oldest first. */
export class ParseCache {
  readonly #bytesMax: number;
  #ring: (Parsed | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  /** @param bytesMax default 16 MiB of text. */
  constructor(bytesMax = PARSED_TEXT_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Text whose parsed form is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `version` has just been parsed. Others may have to forget theirs. */
  add(version: Parsed): void {
    this.#ring.push(version);
    this.#bytes += version.textBytes;
    while (this.#bytes > this.#bytesMax) this.#turn();
    if (this.#head > 1024 && this.#head * 2 > this.#ring.length) {
      this.#ring = this.#ring.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Looks at the oldest: it goes, or to the end of the row. */
  #turn(): void {
    const oldest = this.#ring[this.#head] as Parsed;
    this.#ring[this.#head++] = undefined;
    if (oldest.takeUsed()) {
      this.#ring.push(oldest);
      return;
    }
    this.#bytes -= oldest.textBytes;
    oldest.forget();
  }
}
