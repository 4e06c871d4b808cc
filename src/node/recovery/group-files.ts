/**
 * Writes the log of a cluster that begins anew with one voter, into a directory of its own beside whatever is there. Nothing
 * refers to it until cluster.json does: that one rename is where old becomes new, and a crash before it changes nothing.
 */

import { readFile, rm } from 'node:fs/promises';
import { foundingConfState } from '../../../raft/config-change.ts';
import { asIndex, asTerm } from '../../../raft/types.ts';
import { createFileStorage } from '../../consensus/file-storage.ts';
import { beginGroup } from '../../consensus/open-state.ts';
import { SkeinError } from '../../lib/errors.ts';
import { invariant } from '../../lib/invariant.ts';
import { type Command, encodeCommand, TRANSACTION_ITEMS_MAX } from '../../store/commands.ts';
import type { StoreState } from '../../store/state.ts';
import type { Operation } from '../../store/types.ts';
import { syncDirectory, writePrivateFile } from '../data-dir.ts';

/**
 * By how much a rebuilt state's revision moves on. Clients may have seen revisions that it lacks: none of those may come
 * to mean something else. More than any cluster writes between two backups; revisions last for nine million such jumps.
 */
export const REVISION_JUMP = 1_000_000_000;

const LOG_NAME = /^consensus-[0-9a-f]{8}$/;
/** The file that names the log which is being written. */
export const ATTEMPT = 'attempt';

/** The directory of a new cluster's log below the data directory. */
export const logName = (clusterId: string): string => `consensus-${clusterId.slice(0, 8)}`;

/** Log positions of a state that is rebuilt. */
export type Position = { readonly index: number; readonly term: number };

/** Applies operations to a state that no running node has, in entries of their own. Returns the position behind them. */
export function edit(
  state: StoreState,
  position: Position,
  operations: readonly Operation[],
  client: string,
): Position {
  let { index } = position;
  for (let at = 0; at < operations.length; at += TRANSACTION_ITEMS_MAX) {
    const command: Command = {
      kind: 'transaction',
      transaction: { checks: [], operations: operations.slice(at, at + TRANSACTION_ITEMS_MAX) },
      client,
      sequence: index + 1,
      acknowledged: index,
      born: index,
    };
    const data = encodeCommand(command, state.sealing.inForce);
    index++;
    const term = asTerm(position.term);
    const [result] = state.apply([{ index: asIndex(index), term, data }]);
    invariant(result?.kind === 'committed', 'an offline edit is applied', { result });
  }
  return { index, term: position.term };
}

/** A put of a bookkeeping record. */
export const putRecord = (key: string, value: object): Operation => ({
  op: 'put',
  key,
  value: Buffer.from(JSON.stringify(value)),
  revisionOffset: -1,
});

/** Writes the log of cluster `clusterId`, whose only voter is `nodeId`, below `root`. Returns the directory's name. */
export async function writeGroup(
  root: string,
  group: {
    readonly clusterId: string;
    readonly nodeId: string;
    readonly state: StoreState;
    readonly position: Position;
    /** Members of the cluster that it takes the place of: the group never lets any of them in under its old id. */
    readonly former: readonly string[];
  },
): Promise<string> {
  const { clusterId, nodeId, state, position, former } = group;
  const removed = [...new Set(former)].filter((peer) => peer !== nodeId);
  const name = logName(clusterId);
  const directory = `${root}/${name}`;
  await writePrivateFile(`${root}/${ATTEMPT}`, name);
  const storage = createFileStorage({ directory, nodeId, clusterId });
  const found = await storage.open();
  if (found.hardState || found.snapshot) {
    throw new SkeinError('config-invalid', `${directory} is there already`);
  }
  try {
    await beginGroup(storage, state.snapshot(), {
      index: asIndex(position.index),
      term: asTerm(position.term),
      confState: { ...foundingConfState([nodeId]), ...(removed.length > 0 ? { removed } : {}) },
    });
  } finally {
    await storage.close();
  }
  // The files are durable, and so must be the directories that name them.
  for (const path of [`${directory}/wal`, `${directory}/snapshots`, directory, root]) {
    await syncDirectory(path);
  }
  return name;
}

/**
 * Clears away what an interrupted attempt left below `root`. Only what that attempt itself wrote down goes: a log without
 * a cluster.json that names it may be the last copy of somebody's data. `inUse` is the log that cluster.json names.
 */
export async function clearAttempt(root: string, inUse: string | undefined): Promise<void> {
  const name = await attemptIn(root);
  if (name === undefined) return;
  if (name !== inUse) await rm(`${root}/${name}`, { recursive: true, force: true });
  await rm(`${root}/${ATTEMPT}`);
}

/** The log that an interrupted attempt was writing below `root`. */
export async function attemptIn(root: string): Promise<string | undefined> {
  const text = await readFile(`${root}/${ATTEMPT}`, 'utf8').catch(() => '');
  return LOG_NAME.test(text) ? text : undefined;
}
