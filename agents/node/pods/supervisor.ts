/**
 * The parent of a node's pod actors: one child per pod uid. It compares the pods the API assigns to
 * this node with those on disk and in the runtime, starts and informs the children, and lists the
 * runtime from time to time in case an event was missed.
 */

import type {
  ActorContext,
  ActorRef,
  Behaviour,
  OverflowPolicy,
} from '../../../src/actors/types.ts';
import { isNotFound } from '../../../src/client/errors.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { referencesOf, type SavedPod } from './checkpoint.ts';
import { bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import type { Pod } from './kinds.ts';
import { nodeFilter, type Owned, ownedBy } from './labels.ts';
import type { ChangedObject, Objects } from './object-source.ts';
import { podBehaviour } from './pod-actor.ts';
import type { ContainerEvent, ContainerSummary } from './ports.ts';
import type { PodMessage } from './protocol.ts';

export type SupervisorMessage =
  /** Disk and runtime have been read: what was found, and whether the API's view is in. */
  | {
      readonly kind: 'prepared';
      readonly saved: readonly SavedPod[];
      readonly containers: readonly ContainerSummary[];
      readonly synced: boolean;
    }
  | { readonly kind: 'synced' }
  | { readonly kind: 'pod-seen'; readonly pod: Pod }
  | { readonly kind: 'pod-missing'; readonly pod: Pod }
  /** The pod's actor ended before its time. */
  | { readonly kind: 'respawn'; readonly pod: Pod }
  | {
      readonly kind: 'vanish-confirmed';
      readonly uid: string;
      readonly verdict: 'gone' | 'present' | 'unknown';
    }
  | { readonly kind: 'object-changed'; readonly object: ChangedObject }
  | { readonly kind: 'container-event'; readonly event: ContainerEvent }
  | { readonly kind: 'relist' }
  | { readonly kind: 'listed'; readonly containers: readonly ContainerSummary[] }
  | { readonly kind: 'list-failed'; readonly message: string }
  | { readonly kind: 'forgotten'; readonly uid: string }
  | { readonly kind: 'child-stopped'; readonly uid: string };

export type SupervisorStart = {
  readonly objects: Objects;
  /** Pods of this node as the informer shows them now. */
  readonly podsNow: () => readonly Pod[];
  /** Resolves when the informers are in. */
  readonly whenSynced: (signal: AbortSignal) => Promise<void>;
  /** Subscribes to the informers; called once they are in. */
  readonly subscribe: (tell: (message: SupervisorMessage) => void) => () => void;
  /** Told of every list of the runtime: undefined when it answered. */
  readonly onRuntime: (problem: string | undefined) => void;
};

type Child = { readonly ref: ActorRef<PodMessage>; pod: Pod };

/** The safety net under the event stream. */
const RELIST_MS = 30_000;
const RELIST_RETRY_MS = 1_000;
/** How long the start waits for the API before it goes by what is on disk. */
const SYNC_WAIT_MS = 3_000;
const CONFIRM_RETRY_MS = 5_000;
/** Uids of pods that ended here: a late informer must not bring them back. */
const ENDED_MAX = 2_000;
const RESPAWN_MS = 10_000;
/** A pod whose actor cannot start, because the runtime is away say, must not take the others along. */
const SUPERVISION = { restartsMax: Number.POSITIVE_INFINITY };

/** The behaviour of the supervisor. */
export function supervisorBehaviour(
  services: PodServices,
  start: SupervisorStart,
): Behaviour<SupervisorMessage, Supervisor> {
  return {
    mailbox: { capacity: 10_000, onFull: overflow },
    init(context) {
      const supervisor = new Supervisor(services, start, context);
      supervisor.prepare();
      return supervisor;
    },
    receive(supervisor, message) {
      supervisor.handle(message);
      return supervisor;
    },
    dispose: (supervisor) => supervisor.dispose(),
  };
}

/** Only the newest version of a pod matters; whatever else is lost is found again by the next list. */
function overflow(message: SupervisorMessage): OverflowPolicy {
  if (message.kind !== 'pod-seen') return 'drop-oldest';
  return { coalesce: `pod-seen/${uidOf(message.pod)}` };
}

export class Supervisor {
  readonly #services: PodServices;
  readonly #start: SupervisorStart;
  readonly #context: ActorContext<SupervisorMessage>;
  readonly #children = new Map<string, Child>();
  readonly #ended = new Set<string>();
  #prepared = false;
  #synced = false;
  #listing = false;
  #unsubscribe: () => void = () => {};

  constructor(
    services: PodServices,
    start: SupervisorStart,
    context: ActorContext<SupervisorMessage>,
  ) {
    this.#services = services;
    this.#start = start;
    this.#context = context;
  }

  /** Reads disk and runtime, and gives the API a moment. */
  prepare(): void {
    this.#context.pipe(
      async (signal) => {
        const { checkpoints, clock } = this.#services;
        const saved = await checkpoints.load();
        this.#start.objects.useSaved(saved);
        const synced = this.#start.whenSynced(signal).then(() => true);
        const patience = new Promise<boolean>((resolve) => {
          clock.after(SYNC_WAIT_MS, () => resolve(false));
        });
        const [containers, inTime] = await Promise.all([
          this.#firstList(signal),
          Promise.race([synced, patience]),
        ]);
        return { kind: 'prepared', saved, containers, synced: inTime } as const;
      },
      (message) => message,
    );
    this.#context.pipe(
      (signal) => this.#start.whenSynced(signal),
      () => ({ kind: 'synced' }),
      () => ({ kind: 'relist' }),
    );
  }

  dispose(): void {
    this.#unsubscribe();
  }

  /** For streams: the actor of a pod. */
  child(uid: string): ActorRef<PodMessage> | undefined {
    return this.#children.get(uid)?.ref;
  }

  handle(message: SupervisorMessage): void {
    switch (message.kind) {
      case 'prepared':
        this.#begin(message);
        break;
      case 'synced':
        this.#synced = true;
        if (this.#prepared) this.#reconcile();
        break;
      case 'pod-seen':
        this.#seen(message.pod);
        break;
      case 'respawn':
        this.#spawn(message.pod, undefined);
        break;
      case 'pod-missing':
        this.#confirm(message.pod);
        break;
      case 'vanish-confirmed':
        this.#confirmed(message.uid, message.verdict);
        break;
      case 'object-changed':
        this.#objectChanged(message.object);
        break;
      case 'container-event': {
        const { event } = message;
        const uid = ownedBy(event.labels)?.podUid;
        if (uid) this.#children.get(uid)?.ref.tell({ kind: 'container-event', event });
        break;
      }
      case 'relist':
        this.#list();
        break;
      case 'listed':
        this.#listing = false;
        this.#listed(message.containers);
        break;
      case 'list-failed':
        this.#listing = false;
        this.#start.onRuntime(message.message);
        this.#context.startTimer('relist', RELIST_RETRY_MS, { kind: 'relist' });
        break;
      case 'forgotten':
        this.#remember(message.uid);
        break;
      case 'child-stopped':
        this.#childStopped(message.uid);
        break;
    }
  }

  #begin(found: Extract<SupervisorMessage, { kind: 'prepared' }>): void {
    this.#prepared = true;
    this.#synced ||= found.synced;
    this.#start.onRuntime(undefined);
    const byUid = groupByUid(found.containers);
    const seen = new Map(this.#start.podsNow().map((pod) => [uidOf(pod), pod]));
    for (const { pod } of found.saved) {
      this.#spawn(seen.get(uidOf(pod)) ?? pod, byUid.get(uidOf(pod)) ?? []);
    }
    for (const [uid, pod] of seen) this.#spawn(pod, byUid.get(uid) ?? []);
    if (this.#synced) this.#reconcile();
    this.#context.startTimer('relist', RELIST_MS, { kind: 'relist' });
  }

  /** The API's view is in: from now on it decides what should be here. */
  #reconcile(): void {
    this.#unsubscribe();
    this.#unsubscribe = this.#start.subscribe((message) => this.#context.self.tell(message));
    for (const { ref } of this.#children.values()) ref.tell({ kind: 'objects-changed' });
    this.#compare();
    this.#list();
  }

  /** Starts what should be here and asks after what should not: a lost message is never a lost change. */
  #compare(): void {
    const seen = new Set<string>();
    for (const pod of this.#start.podsNow()) {
      seen.add(uidOf(pod));
      this.#spawn(pod, []);
    }
    for (const [uid, { pod }] of this.#children) if (!seen.has(uid)) this.#confirm(pod);
  }

  #seen(pod: Pod): void {
    const uid = uidOf(pod);
    const child = this.#children.get(uid);
    if (child === undefined) {
      this.#spawn(pod, []);
      return;
    }
    child.pod = pod;
    child.ref.tell({ kind: 'pod-changed', pod });
  }

  /** Starts a pod's actor; without `containers` it asks the runtime what there is of it. */
  #spawn(pod: Pod, containers: readonly ContainerSummary[] | undefined): void {
    const uid = uidOf(pod);
    if (!this.#prepared || uid === '' || this.#children.has(uid) || this.#ended.has(uid)) return;
    // The list at hand serves the first start; an actor that restarts asks again.
    let atHand = containers;
    const latest = () => this.#children.get(uid)?.pod ?? pod;
    const behaviour = podBehaviour(this.#services, {
      pod: latest,
      containers: async (signal) => {
        const first = atHand;
        atHand = undefined;
        return first ?? (await this.#containersOf(uid, signal));
      },
      onForgotten: () => this.#context.self.tell({ kind: 'forgotten', uid }),
    });
    const ref = this.#context.spawn(behaviour, { name: uid, supervision: SUPERVISION });
    this.#children.set(uid, { ref, pod });
    this.#context.watch(ref, { kind: 'child-stopped', uid });
    void this.#services.checkpoints.save(pod, this.#services.objects);
  }

  /** A pod that is not in the informer may be unknown to a lagging replica only: ask. */
  #confirm(pod: Pod): void {
    const uid = uidOf(pod);
    if (!this.#children.has(uid)) return;
    const { client, clock } = this.#services;
    const { name, namespace = 'default' } = pod.metadata;
    this.#context.pipe(
      async (signal) => {
        try {
          const found = await bounded('api', { clock, signal }, () =>
            client.get('Pod', { namespace, name }),
          );
          return found.metadata.uid === uid ? 'present' : 'gone';
        } catch (error) {
          return isNotFound(error) ? 'gone' : 'unknown';
        }
      },
      (verdict) => ({ kind: 'vanish-confirmed', uid, verdict }),
      () => ({ kind: 'vanish-confirmed', uid, verdict: 'unknown' }),
    );
  }

  #confirmed(uid: string, verdict: 'gone' | 'present' | 'unknown'): void {
    const child = this.#children.get(uid);
    if (child === undefined || verdict === 'present') return;
    if (verdict === 'gone') child.ref.tell({ kind: 'pod-vanished' });
    else {
      const message = { kind: 'pod-missing', pod: child.pod } as const;
      this.#context.startTimer(`confirm/${uid}`, CONFIRM_RETRY_MS, message);
    }
  }

  #objectChanged({ kind, namespace, name }: ChangedObject): void {
    for (const { ref, pod } of this.#children.values()) {
      if ((pod.metadata.namespace ?? 'default') !== namespace) continue;
      const { configMaps, secrets } = referencesOf(pod);
      const names = kind === 'ConfigMap' ? configMaps : secrets;
      if (!names.has(name)) continue;
      ref.tell({ kind: 'objects-changed' });
      void this.#services.checkpoints.save(pod, this.#services.objects);
    }
  }

  #list(): void {
    if (!this.#prepared || this.#listing) return;
    this.#listing = true;
    const { runtime, clock, settings } = this.#services;
    this.#context.pipe(
      (signal) =>
        bounded('list', { clock, signal }, (inner) =>
          runtime.list(nodeFilter(settings.nodeName), inner),
        ),
      (containers) => ({ kind: 'listed', containers }),
      (error) => ({ kind: 'list-failed', message: messageOf(error) }),
    );
  }

  #listed(containers: readonly ContainerSummary[]): void {
    this.#start.onRuntime(undefined);
    this.#context.startTimer('relist', RELIST_MS, { kind: 'relist' });
    const byUid = groupByUid(containers);
    for (const [uid, { ref }] of this.#children) {
      ref.tell({ kind: 'observed', containers: byUid.get(uid) ?? [] });
    }
    if (!this.#synced) return;
    this.#compare();
    for (const [uid, list] of byUid) {
      const owner = list[0] && ownedBy(list[0].labels);
      if (this.#children.has(uid) || owner === undefined) continue;
      // Containers of a pod that neither the API nor the disk knows: an actor takes them down.
      this.#ended.delete(uid);
      this.#spawn(orphan(owner), list);
      this.#children.get(uid)?.ref.tell({ kind: 'pod-vanished' });
    }
    void this.#sweep();
  }

  /** Removes directories of pods that are no more. */
  async #sweep(): Promise<void> {
    const { checkpoints, volumes, log } = this.#services;
    for (const uid of await checkpoints.uids()) {
      if (this.#children.has(uid)) continue;
      try {
        await volumes.tearDown(uid);
        await checkpoints.remove(uid);
      } catch (error) {
        log.warn({ uid, error: messageOf(error) }, 'directory of an ended pod not removed');
      }
    }
  }

  #remember(uid: string): void {
    const [oldest] = this.#ended;
    if (this.#ended.size >= ENDED_MAX && oldest !== undefined) this.#ended.delete(oldest);
    this.#ended.add(uid);
  }

  #childStopped(uid: string): void {
    const child = this.#children.get(uid);
    this.#children.delete(uid);
    if (child === undefined || this.#ended.has(uid)) return;
    this.#context.log.error({ uid }, 'a pod actor ended without having finished');
    const pod = this.#start.podsNow().find((other) => uidOf(other) === uid) ?? child.pod;
    this.#context.startTimer(`respawn/${uid}`, RESPAWN_MS, { kind: 'respawn', pod });
  }

  /** Keeps asking until the runtime answers. */
  async #firstList(signal: AbortSignal): Promise<readonly ContainerSummary[]> {
    const { runtime, clock, settings } = this.#services;
    const call = { clock, signal };
    for (;;) {
      try {
        await bounded('create', call, (inner) =>
          runtime.ensureSandboxImage(settings.sandboxImage, inner),
        );
        return await bounded('list', call, (inner) =>
          runtime.list(nodeFilter(settings.nodeName), inner),
        );
      } catch (error) {
        signal.throwIfAborted();
        this.#start.onRuntime(messageOf(error));
        await new Promise<void>((resolve) => {
          clock.after(RELIST_RETRY_MS, resolve);
        });
      }
    }
  }

  async #containersOf(uid: string, signal: AbortSignal): Promise<readonly ContainerSummary[]> {
    const { runtime, clock, settings } = this.#services;
    const all = await bounded('list', { clock, signal }, (inner) =>
      runtime.list(nodeFilter(settings.nodeName), inner),
    );
    return all.filter(({ labels }) => ownedBy(labels)?.podUid === uid);
  }
}

/** A pod of which only containers are left. */
function orphan({ podUid, podName, podNamespace }: Owned): Pod {
  return {
    metadata: { uid: podUid, name: podName, namespace: podNamespace },
    spec: { containers: [], terminationGracePeriodSeconds: 1 },
  };
}

function groupByUid(
  containers: readonly ContainerSummary[],
): Map<string, readonly ContainerSummary[]> {
  const groups = new Map<string, ContainerSummary[]>();
  for (const container of containers) {
    const uid = ownedBy(container.labels)?.podUid;
    if (uid === undefined) continue;
    const group = groups.get(uid) ?? [];
    group.push(container);
    groups.set(uid, group);
  }
  return groups;
}

function uidOf(pod: Pod): string {
  return pod.metadata.uid ?? '';
}
