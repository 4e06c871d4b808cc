/**
 * One member of a group as the benchmark runs it: mesh, consensus and store as on a node, without what stands on them. Started
 * with one argument, a MemberConfig as JSON. The first of `members` founds the group and adds the others.
 */

import { createConsensus } from '../../src/consensus/consensus.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import type { Consensus } from '../../src/consensus/types.ts';
import { systemClock as clock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/logger.ts';
import { entropyRandom } from '../../src/lib/random.ts';
import { createMesh } from '../../src/mesh/mesh.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import { serveKv } from './bench-kv-server.ts';

export type MemberConfig = {
  readonly host: string;
  readonly meshPort: number;
  readonly kvPort: number;
  /** File of the member's key. */
  readonly identity: string;
  /** Peer ids and multiaddrs of the group, the founder first. */
  readonly members: readonly (readonly [peer: string, address: string])[];
  readonly directory: string;
  /** On empty storage: found the group. */
  readonly founder: boolean;
  /** Takes no snapshots, so that the log grows. */
  readonly keepLog: boolean;
};

const PAUSE_MS = 50;
const NEVER = { snapshotEntries: Number.MAX_SAFE_INTEGER, snapshotBytes: Number.MAX_SAFE_INTEGER };

const config = JSON.parse(process.argv[2] ?? '{}') as MemberConfig;
const logger = createLogger('warn');
const random = entropyRandom();
const mesh = await createMesh(
  { logger, clock, random },
  {
    identity: config.identity,
    listen: [`/ip4/${config.host}/tcp/${config.meshPort}`],
  },
);
mesh.admit(new Map(config.members.map(([peer, address]) => [peer, [address]])));
const state = new StoreState({ logger });
const consensus = await createConsensus(
  {
    mesh,
    storage: createFileStorage({
      directory: config.directory,
      nodeId: mesh.self,
      clusterId: 'bench',
    }),
    stateMachine: state,
    clock,
    random,
    logger,
  },
  {
    bootstrap: config.founder,
    snapshots: config.keepLog ? NEVER : {},
    onFatal: (error) => {
      logger.error({ error }, 'the member cannot go on');
      process.exit(1);
    },
  },
);
const store = createReplicatedStore({ state, consensus, clock, random });
const numberOf = (peer: string | undefined): number =>
  config.members.findIndex(([member]) => member === peer) + 1;
await serveKv({ store, status }, config.host, config.kvPort);
if (config.founder) await addOthers(consensus);

/** Nobody leads for the benchmark's purposes before all of them vote. */
function status(): { member: number; leader: number } {
  const { nodeId, leader, confState } = consensus.status();
  const complete =
    confState.voters.length === config.members.length && confState.votersOutgoing.length === 0;
  return { member: numberOf(nodeId), leader: complete ? numberOf(leader) : 0 };
}

async function addOthers(group: Consensus): Promise<void> {
  for (const [peer] of config.members) {
    const { voters, learners } = group.status().confState;
    if (peer === group.nodeId || voters.includes(peer) || learners.includes(peer)) continue;
    await group.addMember(peer).catch((error: unknown) => {
      logger.warn({ error, peer }, 'a member could not be added yet');
    });
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
