/**
 * The service proxy of a node: keeps the node's own nftables table equal to the cluster's Services.
 * Changes are gathered for a moment, turned into the difference to what is in place, and sent as one
 * transaction. Until the first complete view of the cluster nothing is touched, as the rules of an earlier process go on; a node
 * that cannot get one goes by what its replica holds.
 */

import type { Client, InformerEvent } from '../../../src/client/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import { backoffMs } from '../../../src/lib/backoff.ts';
import type { Clock, Timer } from '../../../src/lib/clock.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import { entropyRandom, type Random } from '../../../src/lib/random.ts';
import type { EndpointSlice, Service } from '../../../src/resources/generated/kinds.ts';
import { type ForwardAdmission, forwardAdmission } from './foreign-rules.ts';
import type { FlowTable, LegacyFirewall, Nftables } from './ports.ts';
import {
  type BaseOptions,
  type Fragment,
  type HostPortRule,
  hostPortFragment,
  serviceFragment,
} from './ruleset.ts';
import { modelService, type ServicePortModel } from './service-model.ts';
import { TableKeeper } from './table-keeper.ts';

export type ProxyDeps = {
  readonly client: Client;
  readonly nftables: Nftables;
  readonly flows: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: seeded from the system's entropy. */
  readonly random?: Random;
  /** Default: the machine has none. */
  readonly legacy?: LegacyFirewall;
  /** Told of other firewalls that stand in the way. Default: nobody but the log. */
  readonly report?: (message: string) => void;
};

export type ProxyOptions = BaseOptions & {
  readonly nodeName: string;
  /** Changes within this time go into one transaction. Default 5 ms. */
  readonly gatherMs?: number;
  /** The table is read back and repaired this often. Default 30 s. */
  readonly verifyMs?: number;
  /** Longest wait before a refused transaction is tried again, as a rebuild. Default 30 s, beginning with 1 s. */
  readonly retryMaxMs?: number;
  /** How long the start waits for a complete view before it goes by the replica's. Default 3 s. */
  readonly patienceMs?: number;
};

export interface ServiceProxy {
  /** Resolves when the first complete ruleset is in place. */
  start(): Promise<void>;
  /** Stops following the cluster; the rules stay. */
  stop(): void;
  /** Publishes a pod's host ports, or withdraws them (no ports). */
  setHostPorts(owner: string, podIp: string, ports: readonly HostPortRule[]): Promise<void>;
}

const SERVICE_LABEL = 'kubernetes.io/service-name';
const INDEX = 'proxy-service';

const DEFAULTS = { gatherMs: 5, verifyMs: 30_000, retryMaxMs: 30_000, patienceMs: 3000 } as const;

const servicesOfSlice = ({ metadata }: EndpointSlice): readonly string[] => {
  const name = metadata.labels?.[SERVICE_LABEL];
  return name ? [`${metadata.namespace}/${name}`] : [];
};

/** The proxy of this node. `start` it once. */
export function createProxy(deps: ProxyDeps, options: ProxyOptions): ServiceProxy {
  return new NodeProxy(deps, options);
}

class NodeProxy implements ServiceProxy {
  readonly #deps: ProxyDeps;
  readonly #options: Required<ProxyOptions>;
  readonly #random: Random;
  readonly #admission: ForwardAdmission;
  readonly #table: TableKeeper;
  readonly #stop = new AbortController();
  /** Service keys whose rules may be out of date. */
  readonly #dirty = new Set<string>();
  /** The routed ports of each service in place. */
  readonly #models = new Map<string, readonly ServicePortModel[]>();
  /** Owners whose fragments wait for the next transaction. */
  readonly #pending = new Map<string, Fragment | undefined>();
  /** UDP backends that no longer serve, until their flows are flushed. */
  readonly #gone = new Map<string, { readonly ip: string; readonly port: number }>();
  #work: Promise<void> = Promise.resolve();
  #gathering: Timer | undefined;
  #ready = false;
  #refusals = 0;

  constructor(deps: ProxyDeps, options: ProxyOptions) {
    this.#deps = deps;
    this.#options = { ...DEFAULTS, ...options };
    this.#random = deps.random ?? entropyRandom();
    this.#admission = forwardAdmission(deps, options.clusterCidr);
    this.#table = new TableKeeper(deps, options);
  }

  async start(): Promise<void> {
    const { client } = this.#deps;
    const services = client.informer('Service');
    const slices = client.informer('EndpointSlice');
    slices.addIndex(INDEX, servicesOfSlice);
    const unsubscribe = [
      services.subscribe((event) => this.#markDirty(serviceKey(event.object))),
      slices.subscribe((event) => this.#onSlice(event)),
    ];
    this.#stop.signal.addEventListener('abort', () => {
      for (const end of unsubscribe) end();
    });
    await this.#whenKnown();
    this.#ready = true;
    await this.#flush();
    await this.#admission.check();
    this.#scheduleVerify();
  }

  stop(): void {
    this.#gathering?.cancel();
    this.#stop.abort();
  }

  async setHostPorts(owner: string, podIp: string, ports: readonly HostPortRule[]): Promise<void> {
    this.#pending.set(
      `host-ports ${owner}`,
      ports.length === 0 ? undefined : hostPortFragment(podIp, ports),
    );
    if (this.#ready) await this.#flush();
  }

  /**
   * Resolves when the informers are complete; or, when they do not become so in time, as soon as the replica at least knows
   * this node: then it holds what this node knew when it was cut off.
   */
  async #whenKnown(): Promise<void> {
    const { client, clock, log } = this.#deps;
    const { patienceMs, nodeName } = this.#options;
    const { signal } = this.#stop;
    const complete = Promise.all([
      client.informer('Service').whenSynced(signal),
      client.informer('EndpointSlice').whenSynced(signal),
    ]).then(() => true);
    const waiting = new AbortController();
    const patience = sleep(patienceMs, clock, AbortSignal.any([signal, waiting.signal]));
    const inTime = await Promise.race([complete, patience.then(() => false)]);
    waiting.abort();
    patience.catch(() => {});
    if (inTime) return;
    if (client.informer('Node').get({ name: nodeName }) === undefined) {
      await complete;
      return;
    }
    complete.catch(() => {}); // Rejects when the proxy stops.
    log.warn({}, 'the cluster is out of reach: service rules follow what this node knew last');
  }

  #onSlice(event: InformerEvent<EndpointSlice>): void {
    for (const name of servicesOfSlice(event.object)) this.#markDirty(name);
    if (event.type !== 'modified') return;
    for (const name of servicesOfSlice(event.previous)) this.#markDirty(name);
  }

  #markDirty(service: string): void {
    this.#dirty.add(service);
    if (!this.#ready || this.#gathering) return;
    this.#gathering = this.#deps.clock.after(this.#options.gatherMs, () => {
      this.#gathering = undefined;
      void this.#flush();
    });
  }

  /** Brings the table up to date; transactions run one after the other. Never rejects. */
  #flush(): Promise<void> {
    this.#work = this.#work
      .then(() => this.#apply())
      .catch((error: unknown) => {
        this.#deps.log.error({ error }, 'service rules could not be made');
      });
    return this.#work;
  }

  async #apply(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#collectServices();
    const changes = new Map(this.#pending);
    this.#pending.clear();
    if (!(await this.#table.apply(changes))) {
      const { retryMaxMs: maxMs } = this.#options;
      const delayMs = backoffMs(this.#refusals++, this.#random, { initialMs: 1000, maxMs });
      this.#deps.clock.after(delayMs, () => void this.#flush());
      return;
    }
    this.#refusals = 0;
    // Not before the rules are in place: a flow that is tracked anew must find the new ones.
    for (const [id, backend] of this.#gone) {
      await this.#deps.flows.flushUdp(backend);
      this.#gone.delete(id);
    }
  }

  /** Turns dirty services into pending fragments, and notes UDP backends that no longer serve. */
  #collectServices(): void {
    const { client } = this.#deps;
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      const [namespace = '', name = ''] = key.split('/');
      const service = client.informer('Service').get({ namespace, name });
      const slices = client.informer('EndpointSlice').byIndex(INDEX, key);
      const models = service ? modelService(service, slices, this.#options.nodeName) : [];
      const before = this.#models.get(key) ?? [];
      const ids = new Set(models.map(({ id }) => id));
      for (const { id } of before) if (!ids.has(id)) this.#pending.set(id, undefined);
      for (const model of models) this.#pending.set(model.id, serviceFragment(model));
      for (const backend of udpBackendsGone(before, models)) {
        this.#gone.set(`${backend.ip}:${backend.port}`, backend);
      }
      if (models.length > 0) this.#models.set(key, models);
      else this.#models.delete(key);
    }
  }

  #scheduleVerify(): void {
    const { clock } = this.#deps;
    const timer = clock.after(this.#options.verifyMs, () => {
      this.#stop.signal.removeEventListener('abort', cancel);
      void this.#verify().then(() => this.#scheduleVerify());
    });
    const cancel = () => timer.cancel();
    this.#stop.signal.addEventListener('abort', cancel, { once: true });
    if (this.#stop.signal.aborted) timer.cancel();
  }

  /** Others may have flushed the rules, or a reload of the firewall may have. */
  async #verify(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#work = this.#work.then(() => this.#table.verify());
    await this.#flush();
    await this.#admission.check();
  }
}

const serviceKey = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`;

/** Backends of UDP ports that were routed to before and are not any more. */
export function udpBackendsGone(
  before: readonly ServicePortModel[],
  after: readonly ServicePortModel[],
): { ip: string; port: number }[] {
  const targets = (models: readonly ServicePortModel[]) =>
    models
      .filter(({ protocol }) => protocol === 'udp')
      .flatMap(({ backends, externalBackends }) => [...backends, ...externalBackends]);
  const kept = new Set(targets(after).map(({ ip, port }) => `${ip}:${port}`));
  const gone = new Map(
    targets(before)
      .filter(({ ip, port }) => !kept.has(`${ip}:${port}`))
      .map(({ ip, port }) => [`${ip}:${port}`, { ip, port }]),
  );
  return [...gone.values()];
}
