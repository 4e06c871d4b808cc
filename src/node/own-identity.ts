/**
 * Whether the data directory that a node is started with is its own, and the newest there is: a member that forgot what
 * it promised (a vote, an acknowledged write) must not speak under its old name. Each fault names the way back, which
 * is always the same: a new identity, that takes the place of the old one.
 */

import { SkeinError } from '../lib/errors.ts';
import type { Refusal } from '../mesh/introduction.ts';
import type { ClusterFile } from './data-dir.ts';
import type { MachineRecord } from './machine-record.ts';
import { removedError } from './removal.ts';
import { supersededError } from './superseded.ts';

export type IdentityFacts = {
  /** The data directory. */
  readonly root: string;
  /** Its `cluster.json`. */
  readonly file: ClusterFile | undefined;
  /** What the machine remembers of its node. */
  readonly machine: MachineRecord | undefined;
  /** True if there is a log in the directory. */
  readonly hasLog: boolean;
  /** True if the node was given a token. */
  readonly joining: boolean;
};

/** How a machine whose directory cannot be used becomes a member again. */
export const wayBack = (root: string): string =>
  `skein reset --yes --data-dir ${root}, then skein join with a token (of skein token create on a member): under the same node name it takes the place of its former self`;

/** Why a node must not start with this directory, or undefined if it may. */
export function identityFault(facts: IdentityFacts): SkeinError | undefined {
  const { root, file, machine, hasLog, joining } = facts;
  if (file === undefined) {
    if (hasLog) {
      return damaged(
        `${root} holds a log, but no cluster.json that says whose it is; put cluster.json back, or ${wayBack(root)}`,
      );
    }
    return machine === undefined || joining ? undefined : wiped(root, machine);
  }
  if (file.removed) return removedError(file.clusterId, root);
  if (file.supersededBy !== undefined) return supersededError(file.supersededBy, root);
  if (machine !== undefined && machine.peer !== file.peer) {
    return damaged(
      `${root} belongs to node "${file.node}" (${file.peer}) of cluster ${file.clusterId}, but this machine is node "${machine.node}" (${machine.peer}) of cluster ${machine.clusterId}; two machines must not share an identity: put this machine's own directory back, or ${wayBack(root)}`,
    );
  }
  const start = file.starts ?? 0;
  if (machine !== undefined && machine.start > start) {
    return olderCopy(
      root,
      `it knows ${start} starts of this node, and there have been ${machine.start}`,
    );
  }
  if (file.settled && !hasLog) {
    return damaged(
      `the log in ${root} is gone, but this node was a member already, and has promised others what it does not know any more; ${wayBack(root)}`,
    );
  }
  return undefined;
}

/** The error of a node whom a member refused. */
export function refusedError(root: string, by: string, refusal: Refusal): SkeinError {
  const { kind, detail } = refusal;
  if (kind === 'older-copy') return olderCopy(root, `${by} refused it: ${detail}`);
  return damaged(
    `${root} is in use elsewhere: ${by} refused this node, because ${detail}. A data directory is never copied to another machine: put this machine's own directory back, or ${wayBack(root)}`,
  );
}

function wiped(root: string, { node, clusterId }: MachineRecord): SkeinError {
  return damaged(
    `${root} is empty, but this machine was node "${node}" of cluster ${clusterId}; if the directory is on a disk of its own, mount it. If its data is lost: skein join with a token (of skein token create on a member) makes it a new node, which takes the place of its former self. To begin a new cluster here: skein reset --yes --data-dir ${root} first`,
  );
}

function olderCopy(root: string, why: string): SkeinError {
  return damaged(
    `${root} is an older copy of this node's data (${why}): it lacks what the node has acknowledged since. Put the newest one back, or ${wayBack(root)}`,
  );
}

const damaged = (text: string): SkeinError => new SkeinError('data-damaged', text);
