/**
 * Work that waits until everything this turn of the event loop received has been handled. All of it runs in one go, so that what
 * several streams have to say to one peer leaves together. Nothing is delayed: the loop does not sleep before.
 */

let waiting: (() => void)[] = [];

/** Calls `action` when the turn ends. What it throws reaches nobody but the process, and the others are called all the same. */
export function atTurnEnd(action: () => void): void {
  waiting.push(action);
  if (waiting.length === 1) setImmediate(run);
}

function run(): void {
  const actions = waiting;
  waiting = [];
  let done = 0;
  try {
    for (const action of actions) {
      done++;
      action();
    }
  } finally {
    for (const action of actions.slice(done)) atTurnEnd(action);
  }
}
