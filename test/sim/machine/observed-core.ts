/** The real core with an observer around it: everything the driver does with it passes here, unchanged. */

import type { RaftNode } from '../../../raft/raw-node.ts';
import type { ConfState, LogIndex, Message, Ready } from '../../../raft/types.ts';

/** Told of what passes; see RaftNode for the calls. */
export type CoreWatch = {
  /** Before a tick: what is to be done to the core in this turn. */
  beforeTick(core: RaftNode): void;
  /** Before the core takes a message. */
  steps(message: Message): void;
  /** The driver took a batch. */
  took(ready: Ready): void;
  applied(index: LogIndex): void;
  reconfigured(before: ConfState, after: ConfState): void;
  /** The state machine is about to be asked for a snapshot at `index`. */
  snapshots(meta: ReturnType<RaftNode['snapshotMeta']>): void;
  read(requestId: number): void;
};

/** Every method of `core`, those of interest watched. */
export function observedCore(core: RaftNode, watch: CoreWatch): RaftNode {
  const methods: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(core))) {
    const method = core[name as keyof RaftNode];
    if (typeof method === 'function') methods[name] = method.bind(core);
  }
  const observed: Partial<RaftNode> = {
    tick(...args) {
      watch.beforeTick(core);
      core.tick(...args);
    },
    step(...args) {
      watch.steps(args[0]);
      core.step(...args);
    },
    ready(...args) {
      const ready = core.ready(...args);
      watch.took(ready);
      return ready;
    },
    applied(...args) {
      watch.applied(args[0]);
      core.applied(...args);
    },
    applyConfChange(...args) {
      const before = core.status().confState;
      const after = core.applyConfChange(...args);
      watch.reconfigured(before, after);
      return after;
    },
    snapshotMeta(...args) {
      const meta = core.snapshotMeta(...args);
      watch.snapshots(meta);
      return meta;
    },
    readIndex(...args) {
      watch.read(args[0]);
      return core.readIndex(...args);
    },
  };
  return { ...methods, ...observed } as RaftNode;
}
