import t from 'tap';
import { badRequest, failure } from '../../src/api/status.ts';
import type { TokenRequest } from '../../src/api/types.ts';
import type { Client } from '../../src/client/types.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { podTokens } from '../../src/node/pod-tokens.ts';
import { FakeInformers } from '../support/fake-informers.ts';

const REQUEST = {
  namespace: 'default',
  serviceAccount: 'web',
  audiences: [],
  expirationSeconds: 3600,
  pod: { name: 'web-1', uid: 'u1' },
};
const { signal } = new AbortController();

function world(answer: () => Promise<{ token: string; expiresAtMs: number }>) {
  const informers = new FakeInformers({ synced: false });
  const issued: TokenRequest[] = [];
  const client = { informer: informers.client.informer, requestToken: answer };
  const tokens = podTokens({
    client: client as unknown as Client,
    issuer: {
      issue: async (request) => {
        issued.push(request);
        return { token: 'own', expirationTimestamp: '2020-01-01T01:00:00Z', audiences: [] };
      },
    },
    log: silentLogger,
  });
  const addAccount = () =>
    informers.put('ServiceAccount', { metadata: { namespace: 'default', name: 'web', uid: 's1' } });
  return { tokens, issued, addAccount };
}

t.test('pod-tokens: the API gives them while it can', async (t) => {
  const { tokens, issued, addAccount } = world(async () => ({ token: 'api', expiresAtMs: 7 }));
  addAccount();
  t.strictSame(await tokens.create(REQUEST, signal), { token: 'api', expiresAtMs: 7 });
  t.strictSame(issued, []);
});

t.test(
  'pod-tokens: a node that is cut off signs them itself, for the account it knows',
  async (t) => {
    const { tokens, issued, addAccount } = world(() =>
      Promise.reject(failure(503, 'ServiceUnavailable', 'no quorum')),
    );
    await t.rejects(tokens.create(REQUEST, signal), { message: /no quorum/ }, 'an unknown account');
    addAccount();
    t.strictSame(await tokens.create(REQUEST, signal), {
      token: 'own',
      expiresAtMs: Date.parse('2020-01-01T01:00:00Z'),
    });
    t.strictSame(issued, [
      {
        namespace: 'default',
        serviceAccount: 'web',
        serviceAccountUid: 's1',
        audiences: [],
        expirationSeconds: 3600,
        boundObject: { kind: 'Pod', name: 'web-1', uid: 'u1' },
      },
    ]);
  },
);

t.test('pod-tokens: what the API refuses is not signed behind its back', async (t) => {
  const { tokens, issued, addAccount } = world(() => Promise.reject(badRequest('no')));
  addAccount();
  await t.rejects(tokens.create(REQUEST, signal));
  t.strictSame(issued, []);
});
