/** A whole API server for tests: real HTTPS on loopback, real verbs on a local store, and kubectl if asked for. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { createAuthenticator } from '../../../src/api/auth/authenticator.ts';
import { createGroupAuthorizer } from '../../../src/api/auth/authorizer.ts';
import { kubeconfigText } from '../../../src/api/auth/kubeconfig.ts';
import { createLiveObjects } from '../../../src/api/auth/live-objects.ts';
import {
  createAuthority,
  issueClient,
  issueServing,
  type KeyPair,
} from '../../../src/api/auth/pki.ts';
import {
  createServiceAccountTokens,
  createTokenKey,
  type ServiceAccountTokens,
} from '../../../src/api/auth/service-account-tokens.ts';
import type { HealthCheck } from '../../../src/api/http/health.ts';
import { type ApiServerOptions, createApiServer } from '../../../src/api/http/server.ts';
import type { StreamsFor } from '../../../src/api/streams/endpoints.ts';
import type { ApiVerbs } from '../../../src/api/types.ts';
import { createVerbs } from '../../../src/api/verbs/index.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { Registry } from '../../../src/lib/metrics.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { allKinds } from '../../../src/resources/registry.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
import type { Store } from '../../../src/store/types.ts';

const KUBECTL = '/usr/bin/kubectl';
const KUBECTL_DEADLINE_MS = 30_000;

export type HarnessOptions = Partial<Omit<ApiServerOptions, 'tls' | 'port'>> & {
  readonly streamsFor?: StreamsFor;
  readonly health?: readonly HealthCheck[];
  /** Stands between the server and the real verbs. */
  readonly wrap?: (verbs: ApiVerbs) => ApiVerbs;
};

export type Answer = {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into arbitrary answers
  readonly body: any;
};

export type Ask = {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Default: the administrator's certificate. */
  readonly as?: KeyPair | 'nobody';
};

export type Harness = {
  readonly port: number;
  readonly url: string;
  readonly store: Store;
  readonly verbs: ApiVerbs;
  readonly authority: KeyPair;
  readonly admin: KeyPair;
  readonly tokens: ServiceAccountTokens;
  readonly metrics: Registry;
  /** Starts a request; resolves when its head is in, for streams. */
  open(path: string, ask?: Ask): Promise<import('node:http').IncomingMessage>;
  ask(path: string, ask?: Ask): Promise<Answer>;
  /** Runs kubectl as the administrator. */
  kubectl(args: readonly string[], more?: KubectlOptions): Promise<KubectlResult>;
  user(name: string, groups?: readonly string[]): Promise<KeyPair>;
  /** POSTs an object; fails unless it is created. */
  create(path: string, body: object): Promise<Answer>;
  /** Makes a namespace with its default service account, as the controllers do. */
  createNamespace(name?: string): Promise<void>;
  close(): Promise<void>;
  /** For running kubectl by hand. */
  readonly kubectlBase: readonly string[];
  readonly kubectlEnv: Readonly<Record<string, string>>;
  /** Waits for a condition; fails after a few seconds. */
  until(condition: () => boolean | Promise<boolean>): Promise<void>;
};

export type KubectlOptions = {
  readonly stdin?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
};
export type KubectlResult = {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
};

/** Starts a server that ends with the test. */
export async function startServer(t: Test, options: HarnessOptions = {}): Promise<Harness> {
  const { streamsFor = () => undefined, health = [], wrap, ...rest } = options;
  const store = createLocalStore();
  const authority = await createAuthority();
  const admin = await issueClient(authority, { name: 'admin', groups: ['system:masters'] });
  const serving = await issueServing(authority, { nodeName: 'test', addresses: [] });
  const tokens = await createServiceAccountTokens(
    { clock: systemClock, live: createLiveObjects(store) },
    { keyPem: await createTokenKey() },
  );
  const base = createVerbs({
    store,
    kinds: allKinds,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    tokens,
  });
  const verbs = wrap === undefined ? base : wrap(base);
  const authenticator = createAuthenticator(
    { clock: systemClock, serviceAccounts: tokens },
    { authorityPems: [authority.certificatePem] },
  );
  const metrics = new Registry();
  const server = createApiServer(
    {
      verbs,
      kinds: allKinds,
      store,
      authenticator,
      authorizer: createGroupAuthorizer(),
      streamsFor,
      health,
      logger: silentLogger,
      metrics,
      clock: systemClock,
    },
    {
      host: '127.0.0.1',
      port: 0,
      skeinVersion: '0.1.0',
      ...rest,
      tls: { ...serving, authorityPems: [authority.certificatePem] },
    },
  );
  await server.listen();
  const agents = new Map<KeyPair | 'nobody', Agent>();
  const directory = await mkdtemp(join(tmpdir(), 'skein-api-'));
  t.teardown(async () => {
    for (const agent of agents.values()) agent.destroy();
    await server.close(0);
    await rm(directory, { recursive: true, force: true });
  });
  const { port } = server.address;
  const url = `https://127.0.0.1:${port}`;

  function agentOf(as: KeyPair | 'nobody'): Agent {
    let agent = agents.get(as);
    if (agent === undefined) {
      const identity = as === 'nobody' ? {} : { cert: as.certificatePem, key: as.keyPem };
      agent = new Agent({ keepAlive: true, ca: authority.certificatePem, ...identity });
      agents.set(as, agent);
    }
    return agent;
  }

  function open(path: string, ask: Ask = {}) {
    return new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      const { method = 'GET', body, headers = {}, as = admin } = ask;
      const bytes = body === undefined ? undefined : encode(body);
      const outgoing = httpsRequest(`${url}${path}`, {
        method,
        agent: agentOf(as),
        headers: {
          ...(bytes === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
          ...headers,
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', resolve);
      outgoing.end(bytes);
    });
  }

  async function ask(path: string, options: Ask = {}): Promise<Answer> {
    const response = await open(path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const isJson = response.headers['content-type']?.startsWith('application/json') ?? false;
    const body: unknown = isJson && text !== '' ? JSON.parse(text) : undefined;
    return { code: response.statusCode ?? 0, headers: response.headers, text, body };
  }

  async function create(path: string, body: object): Promise<Answer> {
    const answer = await ask(path, { method: 'POST', body });
    if (answer.code !== 201) throw new Error(`POST ${path}: ${answer.code} ${answer.text}`);
    return answer;
  }

  async function createNamespace(name = 'default'): Promise<void> {
    await create('/api/v1/namespaces', { metadata: { name } });
    await create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
  }

  const kubeconfig = join(directory, 'kubeconfig');
  await writeFile(
    kubeconfig,
    kubeconfigText({ server: url, authorityPem: authority.certificatePem, credentials: admin }),
  );

  const kubectlBase = ['--kubeconfig', kubeconfig];
  const kubectlEnv = { HOME: directory, PATH: process.env['PATH'] ?? '' };

  function kubectl(args: readonly string[], more: KubectlOptions = {}): Promise<KubectlResult> {
    return new Promise((resolve, reject) => {
      const env = { ...kubectlEnv, ...more.env };
      const child = execFile(
        KUBECTL,
        [...kubectlBase, ...args],
        { env, timeout: KUBECTL_DEADLINE_MS, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => {
          if (error !== null && typeof error.code !== 'number') reject(error);
          else resolve({ code: Number(error?.code ?? 0), stdout, stderr });
        },
      );
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(more.stdin);
    });
  }

  const user = (name: string, groups: readonly string[] = []) =>
    issueClient(authority, { name, groups });
  return {
    port,
    url,
    store,
    verbs,
    authority,
    admin,
    tokens,
    metrics,
    open,
    ask,
    kubectl,
    user,
    create,
    createNamespace,
    close: () => server.close(1000),
    kubectlBase,
    kubectlEnv,
    until,
  };
}

const UNTIL_DEADLINE_MS = 8_000;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + UNTIL_DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function encode(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
