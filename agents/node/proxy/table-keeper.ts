/**
 * Keeps the kernel's table equal to what the owners want: sends the difference, builds everything anew when a transaction was
 * refused or others changed the table, and reads it back to notice that.
 */

import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import { type ObservedTable, observeTable, tableDifference } from './observed.ts';
import type { Nftables } from './ports.ts';
import { type BaseOptions, baseScript, type Fragment, TABLE } from './ruleset.ts';
import { Ruleset, renderCommands } from './transaction.ts';

export type TableKeeperDeps = { readonly nftables: Nftables; readonly log: Logger };

const NOTHING: ObservedTable = { chains: new Map(), sets: new Set(), elements: new Map() };

/** Calls must not overlap. */
export class TableKeeper {
  readonly #deps: TableKeeperDeps;
  readonly #base: BaseOptions;
  readonly #ruleset = new Ruleset();
  /** The base's chains and sets, as the kernel showed them when they were made. */
  #baseObserved = NOTHING;
  #rebuild = true;

  constructor(deps: TableKeeperDeps, base: BaseOptions) {
    this.#deps = deps;
    this.#base = base;
  }

  /**
   * Makes `changes` (owner to fragment; undefined removes) hold. False when the kernel refused: nothing has changed then,
   * and the next call builds the whole table, these changes included.
   */
  async apply(changes: ReadonlyMap<string, Fragment | undefined>): Promise<boolean> {
    const { nftables, log } = this.#deps;
    const commands = this.#ruleset.change(changes);
    try {
      if (this.#rebuild) await this.#build();
      else if (commands.length > 0) await nftables.run(renderCommands(commands));
      return true;
    } catch (error) {
      log.error({ error, commands: commands.length }, 'service rules were refused; rebuilding');
      this.#rebuild = true;
      return false;
    }
  }

  /** Reads the table back; what others changed is put right by the next `apply`. */
  async verify(): Promise<void> {
    if (this.#rebuild) return;
    const { nftables, log } = this.#deps;
    const found = await nftables.list(`table ip ${TABLE}`).then(observeTable, () => NOTHING);
    const difference = tableDifference(this.#wanted(), found);
    if (difference === undefined) return;
    log.warn({ difference }, 'service rules were changed by someone else; rebuilding');
    this.#rebuild = true;
  }

  #wanted(): ObservedTable {
    const own = this.#ruleset.observed();
    return {
      chains: new Map([...this.#baseObserved.chains, ...own.chains]),
      sets: new Set([...this.#baseObserved.sets, ...own.sets]),
      elements: own.elements,
    };
  }

  /** Replaces the whole table in one transaction. Established connections live on: they are in conntrack. */
  async #build(): Promise<void> {
    const { nftables, log } = this.#deps;
    const script = [
      `add table ip ${TABLE}`,
      `delete table ip ${TABLE}`,
      `add table ip ${TABLE}`,
      baseScript(this.#base),
      renderCommands(this.#ruleset.rebuild()),
    ];
    await nftables.run(script.join('\n'));
    this.#rebuild = false;
    const own = this.#ruleset.observed();
    log.info(
      { chains: own.chains.size, elements: own.elements.size },
      'service rules are in place',
    );
    try {
      const { chains, sets } = observeTable(await nftables.list(`table ip ${TABLE}`));
      this.#baseObserved = {
        chains: new Map([...chains].filter(([name]) => !own.chains.has(name))),
        sets: new Set([...sets].filter((name) => !own.sets.has(name))),
        elements: new Map(),
      };
    } catch (error) {
      // Without it, only what services contribute is verified.
      log.debug({ error: messageOf(error) }, 'the service rules could not be read back');
    }
  }
}
