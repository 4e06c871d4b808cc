/** ConfigMaps, Secrets and Services for pods: from the informers, or as saved while these are not in. */

import type { Client, Informer } from '../../../src/client/types.ts';
import type { SavedPod } from './checkpoint.ts';
import type { ConfigMap, Secret, Service } from './kinds.ts';
import type { ObjectSource } from './ports.ts';

export type ChangedObject = {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly namespace: string;
  readonly name: string;
};

export class Objects implements ObjectSource {
  readonly #configMaps: Informer<ConfigMap>;
  readonly #secrets: Informer<Secret>;
  readonly #services: Informer<Service>;
  #savedConfigMaps = new Map<string, ConfigMap>();
  #savedSecrets = new Map<string, Secret>();

  constructor(client: Client) {
    this.#configMaps = client.informer('ConfigMap');
    this.#secrets = client.informer('Secret');
    this.#services = client.informer('Service');
  }

  /** Resolves when all three caches are in. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#configMaps.whenSynced(signal),
      this.#secrets.whenSynced(signal),
      this.#services.whenSynced(signal),
    ]);
  }

  /** What to answer until the caches are in. */
  useSaved(pods: readonly SavedPod[]): void {
    const key = ({ metadata }: ConfigMap | Secret) => `${metadata.namespace}/${metadata.name}`;
    this.#savedConfigMaps = new Map(
      pods.flatMap(({ configMaps }) => configMaps.map((object) => [key(object), object])),
    );
    this.#savedSecrets = new Map(
      pods.flatMap(({ secrets }) => secrets.map((object) => [key(object), object])),
    );
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    if (this.#configMaps.synced) return this.#configMaps.get({ namespace, name });
    return this.#savedConfigMaps.get(`${namespace}/${name}`);
  }

  secret(namespace: string, name: string): Secret | undefined {
    if (this.#secrets.synced) return this.#secrets.get({ namespace, name });
    return this.#savedSecrets.get(`${namespace}/${name}`);
  }

  services(namespace: string): readonly Service[] {
    const own = this.#services.list(namespace);
    return namespace === 'default' ? own : [...own, ...this.#services.list('default')];
  }

  /** Calls `listener` for every later change; returns how to end that. */
  subscribe(listener: (changed: ChangedObject) => void): () => void {
    const tell = (kind: ChangedObject['kind']) => (event: { object: ConfigMap | Secret }) => {
      const { namespace = 'default', name } = event.object.metadata;
      listener({ kind, namespace, name });
    };
    const ends = [
      this.#configMaps.subscribe(tell('ConfigMap')),
      this.#secrets.subscribe(tell('Secret')),
    ];
    return () => {
      for (const end of ends) end();
    };
  }
}
