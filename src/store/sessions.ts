/**
 * Exactly once: what each client has been answered, as part of the replicated state. A proposal whose
 * fate was lost is proposed again with the same client and sequence, and gets the earlier result.
 *
 * Sessions expire by distance in the log, never by a clock. So that an expired session is never taken
 * for a new one: `floor` is the newest activity of any evicted session, and an unknown client's command is
 * let in only if it was made (`born`) at or behind it. Had that client had a session that was evicted, its
 * last activity, which is at most `floor`, would lie before the command was made; so the command
 * cannot have been applied in it.
 */

import type { CommandOrigin, CommandResult } from './commands.ts';

/** Limits of the table. They are part of the replicated state's law: equal on every member. */
const IDLE_ENTRIES_MAX = 1_000_000;
const SESSIONS_MAX = 10_000;
/** Most results one client may leave unacknowledged. */
export const SESSION_RESULTS_MAX = 65_536;

type Session = {
  acknowledged: number;
  lastActive: number;
  readonly results: Map<number, CommandResult>;
};

/** The table as plain data, for a snapshot. */
export type SessionsImage = {
  readonly floor: number;
  readonly sessions: readonly (readonly [
    client: string,
    acknowledged: number,
    lastActive: number,
    results: readonly (readonly [sequence: number, result: CommandResult])[],
  ])[];
};

/** The session table. Ordered by activity: the first one is the longest idle. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  #floor = 0;

  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Answers a command at log position `index`: with the earlier result if it is a retry, with `expired`
   * if it must not run, otherwise by running it.
   */
  answer(origin: CommandOrigin, index: number, run: () => CommandResult): CommandResult {
    const { client, sequence, acknowledged } = origin;
    const session = this.#sessions.get(client) ?? this.#open(origin);
    if (session === undefined || sequence <= session.acknowledged) return { kind: 'expired' };
    const earlier = session.results.get(sequence);
    if (earlier !== undefined) return earlier;
    for (; session.acknowledged < acknowledged; ) session.results.delete(++session.acknowledged);
    if (session.results.size >= SESSION_RESULTS_MAX) {
      return { kind: 'invalid', reason: 'the client has too many unacknowledged results' };
    }
    const result = run();
    session.results.set(sequence, result);
    session.lastActive = index;
    this.#sessions.delete(client);
    this.#sessions.set(client, session);
    this.#evict(index);
    return result;
  }

  /** Plain data that later changes do not touch. */
  image(): SessionsImage {
    return {
      floor: this.#floor,
      sessions: [...this.#sessions].map(([client, session]) => [
        client,
        session.acknowledged,
        session.lastActive,
        [...session.results],
      ]),
    };
  }

  static fromImage(image: SessionsImage): Sessions {
    const sessions = new Sessions();
    sessions.#floor = image.floor;
    for (const [client, acknowledged, lastActive, results] of image.sessions) {
      sessions.#sessions.set(client, { acknowledged, lastActive, results: new Map(results) });
    }
    return sessions;
  }

  #open(origin: CommandOrigin): Session | undefined {
    if (origin.born < this.#floor) return undefined;
    return { acknowledged: origin.acknowledged, lastActive: 0, results: new Map() };
  }

  #evict(index: number): void {
    for (const [client, session] of this.#sessions) {
      const idle = index - session.lastActive > IDLE_ENTRIES_MAX;
      if (!idle && this.#sessions.size <= SESSIONS_MAX) return;
      this.#sessions.delete(client);
      this.#floor = Math.max(this.#floor, session.lastActive);
    }
  }
}
