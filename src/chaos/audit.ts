/** The cluster against the clients' books, every host against every other, once all is whole again. */

import type { LabCluster } from '../lab/cluster.ts';
import { messageOf } from '../lib/errors.ts';
import type { ApiClient } from './api-client.ts';
import type { Clients } from './clients.ts';
import { type ConfigMap, compareWithBooks } from './ledger.ts';

export type Audit = {
  /** Acknowledged writes that are not there, or were undone. */
  readonly lost: readonly string[];
  /** Places where two hosts differ, or something else is not as it must be. */
  readonly wrong: readonly string[];
};

export type AuditOptions = {
  readonly cluster: LabCluster;
  readonly client: ApiClient;
  readonly clients: Clients;
  readonly namespace: string;
};

type List = {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly ConfigMap[];
};

const CATCH_UP_MS = 15_000;
const POLL_MS = 100;
const REGISTER = /^register-/;

/** Kinds whose whole content must be the same on every host, byte for byte. */
const collections = (namespace: string): readonly string[] => [
  `/api/v1/namespaces/${namespace}/configmaps`,
  `/api/v1/namespaces/${namespace}/pods`,
  `/apis/apps/v1/namespaces/${namespace}/deployments`,
  '/api/v1/configmaps',
  '/api/v1/namespaces',
  '/api/v1/nodes',
  '/api/v1/secrets',
  '/api/v1/events',
];

/** Looks at everything. Call when every host is up and nobody writes any more. */
export async function audit(options: AuditOptions): Promise<Audit> {
  const { cluster, client, clients, namespace } = options;
  const lost: string[] = [];
  const wrong: string[] = [];
  const [path = ''] = collections(namespace);
  for (const host of cluster.hosts) {
    const { items } = await client.json<List>(host, path);
    const books = items.filter(({ metadata }) => !REGISTER.test(metadata.name));
    const revisions = new Map(
      items.map(({ metadata }) => [metadata.name, Number(metadata.resourceVersion)]),
    );
    lost.push(...compareWithBooks(books, clients.ledgers).map((text) => `${host}: ${text}`));
    for (const [key, revision] of clients.newestRegisters()) {
      const found = revisions.get(key) ?? 0;
      if (found < revision) {
        lost.push(`${host}: ${key} is at revision ${found}, ${revision} was acknowledged`);
      }
    }
  }
  wrong.push(...(await differences(options)));
  wrong.push(...(await watcherDifferences(options, path)));
  return { lost, wrong };
}

/** Every host lists every collection at one revision: the same bytes. */
async function differences({ cluster, client, namespace }: AuditOptions): Promise<string[]> {
  const found: string[] = [];
  for (const path of collections(namespace)) {
    try {
      const { metadata } = await client.json<List>(cluster.hosts[0] ?? '', path);
      const query = `resourceVersion=${metadata.resourceVersion}&resourceVersionMatch=Exact`;
      const answers = await Promise.all(
        cluster.hosts.map((host) => client.call(host, `${path}?${query}`)),
      );
      const codes = answers.map(({ code }) => code);
      if (codes.some((code) => code !== 200)) {
        found.push(`${path} at ${metadata.resourceVersion} is answered with ${codes.join(', ')}`);
      } else if (new Set(answers.map(({ text }) => text)).size > 1) {
        found.push(`${path} at ${metadata.resourceVersion} is not the same on every host`);
      }
    } catch (error) {
      found.push(`${path}: ${messageOf(error)}`);
    }
  }
  return found;
}

/** The watcher must know what a list says, and have been told of every write. */
async function watcherDifferences(
  { cluster, client, clients }: AuditOptions,
  path: string,
): Promise<string[]> {
  const { follower } = clients;
  const { items } = await client.json<List>(cluster.hosts[0] ?? '', path);
  const listed = new Map(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
  const wrong = () =>
    [...new Set([...listed.keys(), ...follower.known.keys()])].filter(
      (name) => listed.get(name) !== follower.known.get(name),
    );
  const deadline = performance.now() + CATCH_UP_MS;
  while (wrong().length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return [
    ...wrong().map(
      (name) =>
        `the watcher knows ${name} at ${follower.known.get(name) ?? 'no revision'}, listed is ${listed.get(name) ?? 'none'}`,
    ),
    ...clients.untold().map((revision) => `the watcher was never told of revision ${revision}`),
  ];
}
