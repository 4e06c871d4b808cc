/** `skein verify <data-dir>`: whether a node could start from what is on its disk, and what it would know. */

import type { Finding, SegmentReport } from '../../consensus/inspect-storage.ts';
import { messageOf, SkeinError } from '../../lib/errors.ts';
import type { StoreState } from '../../store/state.ts';
import { shareDataDir } from '../data-dir.ts';
import { readMembers } from '../members.ts';
import {
  type LogStanding,
  type OfflineNode,
  readOfflineNode,
  rebuildState,
  standingOf,
} from './offline-node.ts';

export type DataDirReport = {
  readonly dataDir: string;
  /** True if the node could start. */
  readonly intact: boolean;
  readonly node: string | undefined;
  readonly peer: string | undefined;
  readonly clusterId: string | undefined;
  readonly log: {
    readonly directory: string;
    readonly segments: readonly SegmentReport[];
    /** Undefined when the log cannot be trusted. */
    readonly standing: LogStanding | undefined;
  };
  readonly snapshot:
    | {
        readonly file: string;
        readonly index: number;
        readonly term: number;
        readonly bytes: number;
      }
    | undefined;
  /** What the node had applied, or could have; undefined when it cannot be told. */
  readonly state:
    | {
        readonly revision: number;
        readonly objects: number;
        readonly members: readonly { readonly node: string; readonly peer: string }[];
      }
    | undefined;
  readonly findings: readonly Finding[];
  readonly leftovers: readonly string[];
};

/** Verifies the data directory `root`. Rejects with config-invalid when a process uses it, or when it is none. */
export async function verifyDataDir(root: string): Promise<DataDirReport> {
  const lock = await shareDataDir(root);
  try {
    return await reportOn(root, await readOfflineNode(root));
  } finally {
    await lock.release();
  }
}

async function reportOn(root: string, node: OfflineNode): Promise<DataDirReport> {
  const { cluster, peer, storage, faults } = node;
  const findings: Finding[] = [
    ...faults.map(({ file, what }) => ({ kind: 'damaged', file, what }) as const),
    ...storage.findings,
  ];
  const state = await describeState(node, findings);
  const { snapshot } = storage;
  return {
    dataDir: root,
    intact: findings.every(({ kind }) => kind === 'torn'),
    node: cluster?.node,
    peer: cluster?.peer ?? peer,
    clusterId: cluster?.clusterId,
    log: {
      directory: storage.directory,
      segments: storage.segments,
      standing: storage.state && standingOf(storage.state),
    },
    snapshot: snapshot && {
      file: snapshot.path,
      index: snapshot.meta.index,
      term: snapshot.meta.term,
      bytes: snapshot.size,
    },
    state,
    findings,
    leftovers: storage.leftovers,
  };
}

/** Throws data-damaged if an object's text is none. */
function refuseGarbage(state: StoreState): void {
  const listed = state.list('/');
  for (const { key, bytes } of listed.kind === 'listed' ? listed.items : []) {
    try {
      JSON.parse(bytes.toString('utf8'));
    } catch (cause) {
      throw new SkeinError('data-damaged', `the object ${key} cannot be read`, { cause });
    }
  }
}

/** Applies what a start would apply. A checksum says that bytes are as they were written, not that they mean something. */
async function describeState(
  { storage, cluster }: OfflineNode,
  findings: Finding[],
): Promise<DataDirReport['state']> {
  if (!storage.state) return undefined;
  try {
    const state = await rebuildState(storage, 'commit', cluster);
    refuseGarbage(state);
    return {
      revision: state.revision(),
      objects: state.count('/'),
      members: readMembers(state).map(({ node, peer }) => ({ node, peer })),
    };
  } catch (error) {
    if (!(error instanceof SkeinError)) throw error;
    const file = storage.snapshot?.path ?? storage.directory;
    findings.push({ kind: 'damaged', file, what: messageOf(error) });
    return undefined;
  }
}
