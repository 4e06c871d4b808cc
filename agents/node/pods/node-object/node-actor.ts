/** Registers this machine's Node object and keeps what it says of the machine true. Writes changes only. */

import type { ActorContext, Behaviour } from '../../../../src/actors/types.ts';
import { isNotFound } from '../../../../src/client/errors.ts';
import type { Client } from '../../../../src/client/types.ts';
import type { Clock } from '../../../../src/lib/clock.ts';
import { messageOf } from '../../../../src/lib/errors.ts';
import { bounded } from '../deadlines.ts';
import type { Node } from '../kinds.ts';
import type { ContainerRuntime } from '../ports.ts';
import { type NodeFacts, readPressure } from './facts.ts';
import {
  type NodeIdentity,
  type NodeSight,
  newNode,
  nodeLabels,
  nodeStatus,
  nodeStatusPatch,
} from './node-object.ts';

export type NodeMessage =
  | { readonly kind: 'look' }
  | { readonly kind: 'looked'; readonly written: boolean };

export type NodeActorDeps = {
  readonly client: Client;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly facts: NodeFacts;
  readonly runtimeProblem: () => string | undefined;
};

export type NodeActorOptions = NodeIdentity & { readonly root: string };

const LOOK_MS = 20_000;
const RETRY_MS = 1_000;

type State = { looking: boolean };

/** The behaviour of the node object's actor. */
export function nodeBehaviour(
  deps: NodeActorDeps,
  options: NodeActorOptions,
): Behaviour<NodeMessage, State> {
  return {
    mailbox: { capacity: 16, onFull: () => 'drop-oldest' },
    init(context) {
      context.self.tell({ kind: 'look' });
      return { looking: false };
    },
    receive(state, message, context) {
      if (message.kind === 'looked') {
        context.startTimer('look', message.written ? LOOK_MS : RETRY_MS, { kind: 'look' });
        return { looking: false };
      }
      if (state.looking) return state;
      look(deps, options, context);
      return { looking: true };
    },
  };
}

function look(
  deps: NodeActorDeps,
  options: NodeActorOptions,
  context: ActorContext<NodeMessage>,
): void {
  context.pipe(
    async (signal) => {
      const sight = await see(deps, options, signal);
      await show(deps, options, sight, signal);
    },
    () => ({ kind: 'looked', written: true }),
    (error) => {
      context.log.debug({ error: messageOf(error) }, 'the node object is not up to date');
      return { kind: 'looked', written: false };
    },
  );
}

async function see(
  deps: NodeActorDeps,
  options: NodeActorOptions,
  signal: AbortSignal,
): Promise<NodeSight> {
  const { runtime, clock, facts } = deps;
  const call = { clock, signal };
  const [info, images, pressure] = await Promise.all([
    bounded('inspect', call, (inner) => runtime.info(inner)),
    bounded('list', call, (inner) => runtime.images(inner)),
    readPressure(options.root),
  ]);
  return { facts, runtimeVersion: info.version, images, ...pressure };
}

async function show(
  deps: NodeActorDeps,
  options: NodeActorOptions,
  sight: NodeSight,
  signal: AbortSignal,
): Promise<void> {
  const { client, clock, facts } = deps;
  const call = { clock, signal };
  const key = { name: options.nodeName };
  const nowMs = clock.nowMs();
  const node = await bounded('api', call, () => client.get('Node', key)).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (node === undefined) {
    await bounded('api', call, () => client.create('Node', newNode(options, sight, nowMs)));
  }
  const shown = node ?? (await bounded('api', call, () => client.get('Node', key)));
  const labels = missingLabels(shown, nodeLabels(options, facts));
  if (labels !== undefined) {
    const body = { metadata: { labels } };
    await bounded('api', call, () => client.patch('Node', key, { type: 'merge', body }));
  }
  const reported = (shown.status?.conditions ?? []).some(({ type }) => type === 'Ready');
  const previous = reported ? shown.status : undefined;
  const wanted = nodeStatus(options, sight, { previous, nowMs });
  const body = nodeStatusPatch(shown.status, wanted);
  if (body === undefined) return;
  await bounded('api', call, () =>
    client.patch('Node', key, { type: 'strategic', body }, { subresource: 'status' }),
  );
}

function missingLabels(
  node: Node,
  wanted: Readonly<Record<string, string>>,
): Record<string, string> | undefined {
  const differing = Object.entries(wanted).filter(
    ([key, value]) => node.metadata.labels?.[key] !== value,
  );
  return differing.length === 0 ? undefined : Object.fromEntries(differing);
}
