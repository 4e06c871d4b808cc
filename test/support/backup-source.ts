/** A replica with something of everything, and its backup through a control socket. */

import type { Test } from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { streamControl } from '../../src/cli/control-client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { hasCode } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { serveControl } from '../../src/node/control-server.ts';
import type { ClusterFile } from '../../src/node/data-dir.ts';
import { memberKey, memberNameKey } from '../../src/node/members.ts';
import { Backups } from '../../src/node/recovery/backup.ts';
import { writeBackupFile } from '../../src/node/recovery/backup-file.ts';
import { putRecord } from '../../src/node/recovery/group-files.ts';
import { readOfflineNode, rebuildState } from '../../src/node/recovery/offline-node.ts';
import type { RestoreOptions } from '../../src/node/recovery/restore.ts';
import { ClusterKey } from '../../src/sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord } from '../../src/sealing/record.ts';
import { encodeCommand } from '../../src/store/commands.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { CLUSTER_ID, memberRecord, scratch } from './data-dir.ts';
import { put } from './store-values.ts';

export const PASSPHRASE = 'correct horse battery';
export const SECRET = 'a-secret-that-must-not-show';

const controller = { ownerReferences: [{ controller: true }] };
const pod = (name: string, nodeName: string | undefined, metadata: object = {}): Operation =>
  putObject(`/core/pods/default/${name}`, {
    metadata: { name, namespace: 'default', resourceVersion: '', ...metadata },
    spec: nodeName === undefined ? {} : { nodeName },
  });

function putObject(key: string, object: object): Operation {
  const text = JSON.stringify(object);
  const at = text.indexOf('"resourceVersion":"') + '"resourceVersion":"'.length;
  return { op: 'put', key, value: Buffer.from(text), revisionOffset: at };
}

export type Source = {
  readonly state: StoreState;
  readonly clusterKey: ClusterKey;
  readonly cluster: ClusterFile;
  readonly apply: (operations: readonly Operation[]) => void;
};

/** A running node's replica. */
export function source(): Source {
  const clusterKey = ClusterKey.generate();
  const state = new StoreState({ clusterKey });
  const key = clusterKey.makeDataKey();
  state.found(encodeRecord({ key, kinds: DEFAULT_KINDS, madeAt: '2026-01-01T00:00:00.000Z' }));
  const apply = (operations: readonly Operation[]): void => {
    const index = state.appliedIndex + 1;
    const command = {
      kind: 'transaction',
      transaction: { checks: [], operations },
      client: 'test',
      sequence: index,
      acknowledged: index - 1,
      born: index - 1,
    } as const;
    const data = encodeCommand(command, state.sealing.inForce);
    state.apply([{ index: asIndex(index), term: asTerm(5), data }]);
  };
  const cluster: ClusterFile = {
    clusterId: CLUSTER_ID,
    clusterCidr: '10.1.0.0/16',
    serviceCidr: '10.2.0.0/16',
    caCertificatePem: 'old certificate',
    caKeyPem: 'old ca key',
    tokenKeyPem: 'old token key',
    secretsKey: clusterKey.toText(),
    node: 'node1',
    peer: 'peer1',
    members: [],
    founder: true,
    settled: true,
  };
  apply([
    ...['1', '2'].flatMap((n) => [
      putRecord(memberKey(`peer${n}`), memberRecord(`peer${n}`, `node${n}`)),
      putRecord(memberNameKey(`node${n}`), { peer: `peer${n}` }),
      put(`/core/nodes//node${n}`, {}),
    ]),
    put('/core/secrets/default/s', { data: { password: SECRET } }),
    put('/skein/join-tokens//t', { secret: 'x' }),
    pod('unbound', undefined),
    pod('bare', 'node2'),
    pod('owned', 'node2', controller),
    pod('here', 'node1'),
  ]);
  for (let n = 0; n < 50; n++) {
    apply([put(`/core/configmaps/default/c${n}`, { data: { n: String(n) } })]);
  }
  return { state, clusterKey, cluster, apply };
}

export function backupsOf({ state, cluster }: Source, readBarrier = async () => {}): Backups {
  const store = { readBarrier };
  const consensus = { status: () => ({ term: asTerm(5) }), levels: () => ({ level: 2 }) } as never;
  const parts = { store, state, consensus, cluster, clock: systemClock, product: '1.2.3' };
  return new Backups(parts, { costLog2: 10 });
}

/** A backup through the control socket into a file. */
export async function backup(t: Test, from: Source, request: object = {}): Promise<string> {
  const directory = await scratch(t);
  const backups = backupsOf(from);
  const routes = { 'POST /backup': (body: object) => backups.begin(body) };
  const server = await serveControl(`${directory}/s`, routes, silentLogger);
  t.teardown(() => server.close());
  const path = `${directory}/backup`;
  const chunks = await streamControl(`${directory}/s`, {
    method: 'POST',
    path: '/backup',
    body: request,
  });
  await writeBackupFile(chunks, path);
  return path;
}

export const configOf = (dataDir: string, nodeName = 'fresh'): RestoreOptions['config'] => ({
  dataDir,
  nodeName,
  advertiseAddress: '127.0.0.1',
  apiPort: 6443,
  meshPort: 7946,
});

export async function restoredState(root: string): Promise<StoreState> {
  const node = await readOfflineNode(root);
  return rebuildState(node.storage, 'end', node.cluster);
}

export const textsOf = (state: StoreState, prefix: string): string[] => {
  const listed = state.list(prefix);
  return listed.kind === 'listed'
    ? listed.items.map(({ key, revision, bytes }) => `${key} ${revision} ${bytes}`)
    : [];
};

export async function* toStream(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes;
}

export async function framesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  for await (const chunk of chunks) frames.push(chunk);
  return frames;
}

export const bytesOf = async (chunks: AsyncIterable<Buffer>): Promise<Buffer> =>
  Buffer.concat(await framesOf(chunks));

/** Asks again while the node says that it is busy. */
export async function until<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!hasCode(error, 'overloaded') || attempt > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
