import t from 'tap';
import { applyStrategicMerge } from '../../../src/api/patch/strategic-merge.ts';

const POD = 'io.k8s.api.core.v1.Pod';
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment';

function merge(target: object, patch: object, schema = POD): unknown {
  return applyStrategicMerge(schema, structuredClone(target), patch);
}

const containers = (...list: object[]) => ({ spec: { containers: list } });

t.test('strategic merge: items of a list with a merge key are merged by it', async (t) => {
  const target = containers(
    { name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }] },
    { name: 'b' },
  );
  const patch = containers(
    { name: 'a', image: 'a:2', env: [{ name: 'Y', value: '2' }] },
    { name: 'c' },
  );
  t.strictSame(
    merge(target, patch),
    containers(
      {
        name: 'a',
        image: 'a:2',
        env: [
          { name: 'X', value: '1' },
          { name: 'Y', value: '2' },
        ],
      },
      { name: 'b' },
      { name: 'c' },
    ),
  );
});

t.test('strategic merge: null removes a field', async (t) => {
  const target = { metadata: { labels: { a: '1', b: '2' } }, spec: { nodeName: 'n' } };
  const patch = { metadata: { labels: { a: null } }, spec: { nodeName: null } };
  t.strictSame(merge(target, patch), { metadata: { labels: { b: '2' } }, spec: {} });
});

t.test(
  'strategic merge: $patch delete removes an item, replace takes the list as it is',
  async (t) => {
    const target = containers({ name: 'a' }, { name: 'b' });
    t.strictSame(
      merge(target, containers({ name: 'a', $patch: 'delete' })),
      containers({ name: 'b' }),
    );
    t.strictSame(
      merge(target, containers({ $patch: 'replace' }, { name: 'c' })),
      containers({ name: 'c' }),
    );
  },
);

t.test('strategic merge: $patch replace and delete of an object', async (t) => {
  const target = { spec: { nodeSelector: { a: '1' }, securityContext: { runAsUser: 1 } } };
  const patch = {
    spec: { nodeSelector: { $patch: 'replace', b: '2' }, securityContext: { $patch: 'delete' } },
  };
  t.strictSame(merge(target, patch), { spec: { nodeSelector: { b: '2' }, securityContext: {} } });
});

t.test('strategic merge: a list without merge strategy is replaced', async (t) => {
  const target = {
    spec: { tolerations: [{ key: 'a' }], containers: [{ name: 'a', command: ['x', 'y'] }] },
  };
  const patch = {
    spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', command: ['z'] }] },
  };
  t.strictSame(merge(target, patch), patch);
});

t.test('strategic merge: lists of scalars with merge strategy are united', async (t) => {
  const target = { metadata: { finalizers: ['a', 'b'] } };
  t.strictSame(merge(target, { metadata: { finalizers: ['b', 'c'] } }), {
    metadata: { finalizers: ['a', 'b', 'c'] },
  });
});

t.test('strategic merge: $deleteFromPrimitiveList removes scalars', async (t) => {
  const target = { metadata: { finalizers: ['a', 'b', 'c'] } };
  const patch = { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'], finalizers: ['d'] } };
  t.strictSame(merge(target, patch), { metadata: { finalizers: ['a', 'c', 'd'] } });
});

t.test(
  'strategic merge: $setElementOrder sorts, and leaves unnamed items in their places',
  async (t) => {
    const target = containers({ name: 'a' }, { name: 'server' }, { name: 'b' });
    const patch = {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'c' }, { name: 'a' }],
        containers: [{ name: 'c' }],
      },
    };
    const { spec } = merge(target, patch) as { spec: { containers: { name: string }[] } };
    const order = spec.containers.map(({ name }) => name);
    t.ok(order.indexOf('b') < order.indexOf('c') && order.indexOf('c') < order.indexOf('a'));
    t.ok(order.includes('server'));
    const scalars = { metadata: { '$setElementOrder/finalizers': ['c', 'a'], finalizers: ['c'] } };
    t.strictSame(merge({ metadata: { finalizers: ['a'] } }, scalars), {
      metadata: { finalizers: ['c', 'a'] },
    });
  },
);

t.test('strategic merge: $retainKeys drops what it does not name', async (t) => {
  const target = {
    spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
  };
  const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
  t.strictSame(merge(target, patch, DEPLOYMENT), { spec: { strategy: { type: 'Recreate' } } });
  const volumes = { spec: { volumes: [{ name: 'v', emptyDir: {} }] } };
  const change = {
    spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] },
  };
  t.strictSame(merge(volumes, change), {
    spec: { volumes: [{ name: 'v', hostPath: { path: '/x' } }] },
  });
});

t.test('strategic merge: keys of ports are numbers and protocols are fields', async (t) => {
  const target = { spec: { ports: [{ port: 80, targetPort: 8080 }] } };
  const patch = { spec: { ports: [{ port: 80, targetPort: 9090 }, { port: 443 }] } };
  t.strictSame(merge(target, patch, 'io.k8s.api.core.v1.Service'), {
    spec: { ports: [{ port: 80, targetPort: 9090 }, { port: 443 }] },
  });
});

t.test(
  'strategic merge: no directive reaches the object, wherever the patch puts it',
  async (t) => {
    const patch = {
      spec: {
        affinity: { $patch: 'replace', nodeAffinity: { $retainKeys: ['x'] } },
        '$setElementOrder/containers': [{ name: 'a' }],
        containers: [{ name: 'a', resources: { $patch: 'replace', limits: { cpu: '1' } } }],
      },
    };
    const text = JSON.stringify(merge({}, patch));
    t.notMatch(text, /\$/);
  },
);

t.test(
  'strategic merge: an item without its key, or an unknown directive, is a bad request',
  async (t) => {
    t.throws(() => merge(containers({ name: 'a' }), containers({ image: 'x' })), {
      message: /does not contain the declared merge key: name/,
    });
    t.throws(() => merge({}, { spec: { $patch: 'improve' } }), {
      message: /unrecognized patch directive/,
    });
  },
);
