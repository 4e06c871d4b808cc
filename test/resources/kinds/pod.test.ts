import t from 'tap';
import type { Pod } from '../../../src/resources/generated/kinds.ts';
import { podKind } from '../../../src/resources/kinds/pod.ts';
import { admit, MINIMAL_POD, registry, updateErrors, withAt } from '../support.ts';

function stored(input: object = MINIMAL_POD): Pod {
  const { object, errors } = admit(input);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return object as Pod;
}

/** Sentences against a pod that differs from the minimal one at a path. */
function errorsWith(path: string, value: unknown): readonly string[] {
  return admit(withAt(MINIMAL_POD, path, value)).errors;
}

t.test('pod: defaults are those of core/v1', async (t) => {
  t.same(stored(), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default', generation: 1 },
    spec: {
      containers: [
        {
          name: 'web',
          image: 'nginx:1.27',
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          resources: {},
        },
      ],
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      securityContext: {},
      enableServiceLinks: true,
    },
    status: { phase: 'Pending', qosClass: 'BestEffort' },
  });
});

t.test('pod: defaulting twice changes nothing', async (t) => {
  const once = stored();
  const twice = structuredClone(once);
  podKind.defaults?.(twice);
  t.same(twice, once);
});

t.test('pod: the pull policy follows from the tag', async (t) => {
  const cases: [string, string][] = [
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['nginx:1', 'IfNotPresent'],
    ['registry:5000/nginx', 'Always'],
    ['registry:5000/nginx:1', 'IfNotPresent'],
    [`nginx@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
  ];
  for (const [image, policy] of cases) {
    const pod = stored(withAt(MINIMAL_POD, 'spec.containers.0.image', image));
    t.equal(pod.spec.containers[0]?.imagePullPolicy, policy, image);
  }
});

t.test(
  'pod: what is limited is requested, and host ports follow in the host network',
  async (t) => {
    const limited = withAt(MINIMAL_POD, 'spec.containers.0.resources', {
      limits: { cpu: 1, memory: '1024Mi' },
    });
    const pod = stored(limited);
    t.same(pod.spec.containers[0]?.resources, {
      limits: { cpu: '1', memory: '1Gi' },
      requests: { cpu: '1', memory: '1Gi' },
    });
    t.equal(pod.status?.qosClass, 'Guaranteed');
    const host = withAt(withAt(MINIMAL_POD, 'spec.hostNetwork', true), 'spec.containers.0.ports', [
      { containerPort: 80 },
    ]);
    t.same(stored(host).spec.containers[0]?.ports, [
      { containerPort: 80, hostPort: 80, protocol: 'TCP' },
    ]);
  },
);

t.test('pod: quality of service is burstable between the two ends', async (t) => {
  const pod = stored(
    withAt(MINIMAL_POD, 'spec.containers.0.resources', { requests: { cpu: '1' } }),
  );
  t.equal(pod.status?.qosClass, 'Burstable');
});

t.test('pod: both names of the service account are kept in step', async (t) => {
  const older = stored(withAt(MINIMAL_POD, 'spec.serviceAccount', 'robot'));
  t.equal(older.spec.serviceAccountName, 'robot');
  const newer = stored(withAt(MINIMAL_POD, 'spec.serviceAccountName', 'robot'));
  t.equal(newer.spec.serviceAccount, 'robot');
});

t.test('pod: a volume without a source is an empty directory', async (t) => {
  const pod = stored(withAt(MINIMAL_POD, 'spec.volumes', [{ name: 'scratch' }]));
  t.same(pod.spec.volumes, [{ name: 'scratch', emptyDir: {} }]);
});

t.test('pod: status given at creation is not taken', async (t) => {
  const pod = stored({ ...MINIMAL_POD, status: { phase: 'Running', podIP: '1.2.3.4' } });
  t.same(pod.status, { phase: 'Pending', qosClass: 'BestEffort' });
});

t.test('pod: failures are worded and placed as upstream does', async (t) => {
  const container = (extra: object) => [{ name: 'web', image: 'nginx:1', ...extra }];
  const cases: [string, unknown, string[]][] = [
    ['spec.containers', [], ['spec.containers: Required value']],
    ['spec.containers.0.name', undefined, ['spec.containers[0].name: Required value']],
    ['spec.containers.0.image', '', ['spec.containers[0].image: Required value']],
    [
      'spec.containers.0.image',
      ' nginx',
      [
        'spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace',
      ],
    ],
    [
      'spec.containers.0.name',
      'Web',
      [
        `spec.containers[0].name: Invalid value: "Web": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
      ],
    ],
    [
      'spec.containers.0.name',
      'a.b',
      ['spec.containers[0].name: Invalid value: "a.b": must not contain dots'],
    ],
    [
      'spec.containers',
      [...container({}), ...container({})],
      ['spec.containers[1].name: Duplicate value: "web"'],
    ],
    [
      'spec.restartPolicy',
      'always',
      [
        'spec.restartPolicy: Unsupported value: "always": supported values: "Always", "OnFailure", "Never"',
      ],
    ],
    [
      'spec.containers',
      container({ imagePullPolicy: 'Sometimes' }),
      [
        'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
      ],
    ],
    [
      'spec.containers',
      container({
        ports: [
          { containerPort: 70000 },
          { name: 'x', containerPort: 1 },
          { name: 'x', containerPort: 2 },
        ],
      }),
      [
        'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
        'spec.containers[0].ports[2].name: Duplicate value: "x"',
      ],
    ],
    [
      'spec.containers',
      container({ env: [{ name: '' }, { name: 'A=B' }, { name: 'C', valueFrom: {} }] }),
      [
        'spec.containers[0].env[0].name: Required value',
        `spec.containers[0].env[1].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '='`,
        'spec.containers[0].env[2].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
      ],
    ],
    [
      'spec.containers',
      container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.color' } } }] }),
      [
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.color": error converting fieldPath: field label not supported: spec.color',
      ],
    ],
    [
      'spec.containers',
      container({ resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
      [
        'spec.containers[0].resources.requests[cpu]: Invalid value: "2": must be less than or equal to cpu limit of 1',
      ],
    ],
    [
      'spec.containers',
      container({ resources: { limits: { memory: '-1' } } }),
      [
        'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
        'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
      ],
    ],
    [
      'spec.containers',
      container({ volumeMounts: [{ name: 'gone', mountPath: '/x' }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "gone"'],
    ],
    [
      'spec.containers',
      container({
        livenessProbe: { httpGet: { port: 80 }, tcpSocket: { port: 80 }, successThreshold: 2 },
      }),
      [
        'spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type',
        'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
      ],
    ],
    [
      'spec.containers',
      container({ readinessProbe: {} }),
      ['spec.containers[0].readinessProbe: Required value: must specify a handler type'],
    ],
    [
      'spec.volumes',
      [{ name: 'v', emptyDir: {}, hostPath: { path: '/x' } }],
      ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    ],
    [
      'spec.tolerations',
      [{ operator: 'Equal', value: 'x' }],
      [
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ],
    ],
    [
      'spec.initContainers',
      [{ name: 'init', image: 'x:1', readinessProbe: { exec: { command: ['true'] } } }],
      [
        'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      'spec.dnsPolicy',
      'None',
      ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None'],
    ],
    [
      'spec.activeDeadlineSeconds',
      0,
      ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    ],
    [
      'metadata.labels',
      { 'bad key': 'x' },
      [
        `metadata.labels: Invalid value: "bad key": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
      ],
    ],
  ];
  for (const [path, value, expected] of cases) {
    t.same(errorsWith(path, value), expected, `${path} = ${JSON.stringify(value)}`);
  }
});

t.test('pod: a misspelt name is refused under metadata', async (t) => {
  t.match(
    errorsWith('metadata.name', 'Web_1')[0],
    /^metadata\.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist of/,
  );
  t.same(errorsWith('metadata.name', ''), [
    'metadata.name: Required value: name or generateName is required',
  ]);
});

t.test('pod: an update may change images and add tolerations, little else', async (t) => {
  const kind = registry.builtIn('Pod') as never;
  const old = stored();
  const changed = (path: string, value: unknown) =>
    updateErrors(kind, withAt(old, path, value), old);
  t.same(changed('spec.containers.0.image', 'nginx:2'), []);
  t.same(changed('spec.tolerations', [{ key: 'x', operator: 'Exists' }]), []);
  t.same(changed('metadata.labels', { a: 'b' }), []);
  t.same(changed('spec.activeDeadlineSeconds', 10), []);
  t.match(
    changed('spec.containers.0.command', ['sh'])[0],
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,`spec\.initContainers\[\*\]\.image`,`spec\.activeDeadlineSeconds`,`spec\.tolerations` \(only additions to existing tolerations\),`spec\.terminationGracePeriodSeconds` \(allow it to be set to 1 if it was previously negative\)\n {2}spec\.containers\[0\]\.command: null -> \["sh"\]/,
  );
  t.same(changed('spec.containers', []), [
    'spec.containers: Required value',
    'spec.containers: Forbidden: pod updates may not add or remove containers',
  ]);
  t.same(changed('metadata.uid', 'other'), [
    'metadata.uid: Invalid value: "other": field is immutable',
  ]);
  t.same(changed('metadata.namespace', 'other').slice(0, 1), [
    'metadata.namespace: Invalid value: "other": field is immutable',
  ]);
  const tolerant = stored(
    withAt(MINIMAL_POD, 'spec.tolerations', [{ key: 'x', operator: 'Exists' }]),
  );
  t.same(updateErrors(kind, withAt(tolerant, 'spec.tolerations', []), tolerant), [
    'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds',
  ]);
});

t.test('pod: an update keeps the status that was stored', async (t) => {
  const old = { ...stored(), status: { phase: 'Running' } };
  const next = { ...structuredClone(old), status: { phase: 'Failed' } };
  podKind.prepareUpdate?.(next, old, { nowIso: '' });
  t.same(next.status, { phase: 'Running' });
});

t.test('pod: grace is as asked, as declared, or none where nothing runs', async (t) => {
  const pod = stored();
  const running = withAt(withAt(pod, 'spec.nodeName', 'n1'), 'status.phase', 'Running');
  t.equal(podKind.gracePeriodSeconds?.(pod, undefined), 0, 'not on a node yet');
  t.equal(podKind.gracePeriodSeconds?.(running, undefined), 30);
  t.equal(podKind.gracePeriodSeconds?.(running, 5), 5);
  t.equal(podKind.gracePeriodSeconds?.(running, -1), 1);
  t.equal(podKind.gracePeriodSeconds?.(withAt(running, 'status.phase', 'Failed'), 5), 0);
});
