/**
 * The service proxy of a node: keeps the node's own nftables table equal to the cluster's Services.
 * Changes are gathered for a moment, turned into the difference to what is in place, and sent as one
 * transaction. Until the first complete view of the cluster nothing is touched: a node that restarts
 * while it is cut off keeps routing as before.
 */

import type { Client, InformerEvent } from '../../../src/client/types.ts';
import type { Clock, Timer } from '../../../src/lib/clock.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { EndpointSlice, Service } from '../../../src/resources/generated/kinds.ts';
import { forwardAdmission } from './foreign-rules.ts';
import type { FlowTable, Nftables } from './ports.ts';
import {
  type BaseOptions,
  baseScript,
  type Fragment,
  type HostPortRule,
  hostPortFragment,
  serviceFragment,
  TABLE,
} from './ruleset.ts';
import { modelService, type ServicePortModel } from './service-model.ts';
import { Ruleset, renderCommands } from './transaction.ts';

export type ProxyDeps = {
  readonly client: Client;
  readonly nftables: Nftables;
  readonly flows: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
};

export type ProxyOptions = BaseOptions & {
  readonly nodeName: string;
  /** Changes within this time go into one transaction. Default 5 ms. */
  readonly gatherMs?: number;
  /** The table is read back and repaired this often. Default 30 s. */
  readonly verifyMs?: number;
  /** Wait before a refused transaction is tried again, as a rebuild. Default 1 s. */
  readonly retryMs?: number;
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

const sliceService = (slice: EndpointSlice): string | undefined => {
  const name = slice.metadata.labels?.[SERVICE_LABEL];
  return name ? `${slice.metadata.namespace}/${name}` : undefined;
};

/** The proxy of this node. `start` it once. */
export function createProxy(deps: ProxyDeps, options: ProxyOptions): ServiceProxy {
  return new NodeProxy(deps, options);
}

class NodeProxy implements ServiceProxy {
  readonly #deps: ProxyDeps;
  readonly #options: Required<ProxyOptions>;
  readonly #admitForwarding: () => Promise<void>;
  readonly #ruleset = new Ruleset();
  readonly #stop = new AbortController();
  /** Service keys whose rules may be out of date. */
  readonly #dirty = new Set<string>();
  /** The routed ports of each service in place. */
  readonly #models = new Map<string, readonly ServicePortModel[]>();
  /** Owners whose fragments wait for the next transaction. */
  readonly #pending = new Map<string, Fragment | undefined>();
  #work: Promise<void> = Promise.resolve();
  #gathering: Timer | undefined;
  #synced = false;
  #rebuild = true;

  constructor(deps: ProxyDeps, options: ProxyOptions) {
    this.#deps = deps;
    this.#options = { gatherMs: 5, verifyMs: 30_000, retryMs: 1000, ...options };
    this.#admitForwarding = forwardAdmission(deps, options.clusterCidr);
  }

  async start(): Promise<void> {
    const { client } = this.#deps;
    const services = client.informer('Service');
    const slices = client.informer('EndpointSlice');
    slices.addIndex(INDEX, (slice) => {
      const service = sliceService(slice);
      return service ? [service] : [];
    });
    const unsubscribe = [
      services.subscribe((event) => this.#markDirty(serviceKey(event.object))),
      slices.subscribe((event) => this.#onSlice(event)),
    ];
    this.#stop.signal.addEventListener('abort', () => {
      for (const end of unsubscribe) end();
    });
    await services.whenSynced(this.#stop.signal);
    await slices.whenSynced(this.#stop.signal);
    this.#synced = true;
    await this.#flush();
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
    if (this.#synced) await this.#flush();
  }

  #onSlice(event: InformerEvent<EndpointSlice>): void {
    const names = [sliceService(event.object)];
    if (event.type === 'modified') names.push(sliceService(event.previous));
    for (const name of names) if (name !== undefined) this.#markDirty(name);
  }

  #markDirty(service: string): void {
    this.#dirty.add(service);
    if (!this.#synced || this.#gathering) return;
    this.#gathering = this.#deps.clock.after(this.#options.gatherMs, () => {
      this.#gathering = undefined;
      void this.#flush();
    });
  }

  /** Brings the table up to date; transactions run one after the other. */
  #flush(): Promise<void> {
    this.#work = this.#work.then(() => this.#apply());
    return this.#work;
  }

  async #apply(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { nftables, log, clock } = this.#deps;
    const gone = this.#collectServices();
    const changes = new Map(this.#pending);
    this.#pending.clear();
    const commands = this.#ruleset.change(changes);
    try {
      if (this.#rebuild) await this.#rebuildTable();
      else if (commands.length > 0) await nftables.run(renderCommands(commands));
      this.#rebuild = false;
    } catch (error) {
      log.error({ error, commands: commands.length }, 'service rules were refused; rebuilding');
      this.#rebuild = true;
      clock.after(this.#options.retryMs, () => void this.#flush());
      return;
    }
    for (const backend of gone) await this.#deps.flows.flushUdp(backend);
  }

  /** Replaces the whole table in one transaction. Established connections live on: they are in conntrack. */
  async #rebuildTable(): Promise<void> {
    const script = [
      `add table ip ${TABLE}`,
      `delete table ip ${TABLE}`,
      `add table ip ${TABLE}`,
      baseScript(this.#options),
      renderCommands(this.#ruleset.rebuild()),
    ];
    await this.#deps.nftables.run(script.join('\n'));
    await this.#admitForwarding();
    this.#deps.log.info(this.#ruleset.counts(), 'service rules are in place');
  }

  /** Turns dirty services into pending fragments; returns UDP backends that no longer serve. */
  #collectServices(): { ip: string; port: number }[] {
    const { client } = this.#deps;
    const gone: { ip: string; port: number }[] = [];
    for (const key of this.#dirty) {
      const [namespace = '', name = ''] = key.split('/');
      const service = client.informer('Service').get({ namespace, name });
      const slices = client.informer('EndpointSlice').byIndex(INDEX, key);
      const models = service ? modelService(service, slices, this.#options.nodeName) : [];
      const before = this.#models.get(key) ?? [];
      const ids = new Set(models.map(({ id }) => id));
      for (const { id } of before) if (!ids.has(id)) this.#pending.set(id, undefined);
      for (const model of models) this.#pending.set(model.id, serviceFragment(model));
      gone.push(...udpBackendsGone(before, models));
      if (models.length > 0) this.#models.set(key, models);
      else this.#models.delete(key);
    }
    this.#dirty.clear();
    return gone;
  }

  #scheduleVerify(): void {
    const { clock } = this.#deps;
    const timer = clock.after(this.#options.verifyMs, () => {
      this.#work = this.#work.then(() => this.#verify());
      void this.#work.then(() => this.#flush()).then(() => this.#scheduleVerify());
    });
    this.#stop.signal.addEventListener('abort', () => timer.cancel(), { once: true });
  }

  /** Reads the table back: others may have flushed it, or a reload of the firewall may have. */
  async #verify(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { nftables, log } = this.#deps;
    const wanted = this.#ruleset.counts();
    const found = await nftables.list(`table ip ${TABLE}`).then(countObjects, () => undefined);
    if (
      found === undefined ||
      found.chains !== wanted.chains ||
      found.elements !== wanted.elements
    ) {
      log.warn({ wanted, found }, 'service rules were changed by someone else; rebuilding');
      this.#rebuild = true;
    }
    await this.#admitForwarding();
  }
}

const serviceKey = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`;

/** Chains of fragments (they contain a slash) and elements of the shared maps in a listing. */
function countObjects(listing: Awaited<ReturnType<Nftables['list']>>): {
  chains: number;
  elements: number;
} {
  let chains = 0;
  let elements = 0;
  for (const object of listing.nftables) {
    const chain = object['chain']?.['name'];
    if (typeof chain === 'string' && chain.includes('/')) chains++;
    const shared = object['map'] ?? object['set'];
    const name = shared?.['name'];
    if (typeof name === 'string' && !name.includes('/') && Array.isArray(shared?.['elem'])) {
      elements += shared['elem'].length;
    }
  }
  return { chains, elements };
}

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
