import t from 'tap';
import type { Deployment, Pod, Service } from '../../src/resources/generated/kinds.ts';
import { admit, kindOf, manifest } from './support.ts';

/** Admits the document of `kind` in a manifest. */
function admitted(name: string, kind: string) {
  const document = manifest(name).find((object) => object.kind === kind);
  if (document === undefined) throw new Error(`${name} has no ${kind}`);
  return admit(document);
}

t.test('manifests: those of 2015 to 2017 are accepted as printed', async (t) => {
  const accepted: [string, string][] = [
    ['configmap-pod', 'Pod'],
    ['deployment-webapp', 'Deployment'],
    ['hpa-example', 'Deployment'],
    ['pod-liveness', 'Pod'],
    ['pod-nodeselector', 'Pod'],
    ['pod-redis-django', 'Pod'],
    ['quota', 'Namespace'],
    ['secret-and-pod', 'Secret'],
    ['secret-and-pod', 'Pod'],
    ['service-helloworld-loadbalancer', 'Service'],
    ['service-helloworld-nodeport-31001', 'Service'],
    ['service-webapp-nodeport', 'Service'],
    ['storage', 'Pod'],
  ];
  for (const [name, kind] of accepted) {
    t.same(admitted(name, kind).errors, [], `${name}: ${kind}`);
  }
});

t.test('manifests: a Deployment of v1 has no kind, which discovery then reports', async (t) => {
  const [document] = manifest('deployment-helloworld-v1-as-printed');
  t.ok(document);
  t.equal(kindOf(document as { apiVersion?: string; kind?: string }), undefined);
});

t.test('manifests: a restart policy in lower case is refused with what is supported', async (t) => {
  const [document] = manifest('deployment-webapp-extensions-v1beta1');
  t.same(admit(document).errors, [
    'spec.template.spec.restartPolicy: Unsupported value: "always": supported values: "Always", "OnFailure", "Never"',
    'spec.template.spec.restartPolicy: Unsupported value: "always": supported values: "Always"',
  ]);
});

t.test('manifests: extensions/v1beta1 becomes apps/v1 with its own defaults', async (t) => {
  const { object } = admitted('deployment-webapp', 'Deployment');
  const deployment = object as Deployment;
  t.equal(deployment.apiVersion, 'apps/v1');
  t.same(deployment.spec.selector, {
    matchLabels: { app: 'webapp', environment: 'production' },
  });
  t.same(deployment.metadata.labels, { app: 'webapp', environment: 'production' });
  t.same(deployment.spec.strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxUnavailable: 1, maxSurge: 1 },
  });
  t.equal(deployment.spec.revisionHistoryLimit, 2_147_483_647);
  t.equal(deployment.spec.progressDeadlineSeconds, 2_147_483_647);
  t.equal(deployment.spec.template.spec.restartPolicy, 'Always');
});

t.test('manifests: a liveness probe gets its defaults around what is given', async (t) => {
  const pod = admitted('pod-liveness', 'Pod').object as Pod;
  t.same(pod.spec.containers[0]?.livenessProbe, {
    httpGet: { path: '/', port: 3000, scheme: 'HTTP' },
    initialDelaySeconds: 15,
    timeoutSeconds: 30,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  });
});

t.test('manifests: volumes of config maps and secrets get their file mode', async (t) => {
  const withMap = admitted('configmap-pod', 'Pod').object as Pod;
  t.equal(withMap.spec.volumes?.[0]?.configMap?.defaultMode, 0o644);
  const withSecret = admitted('secret-and-pod', 'Pod').object as Pod;
  t.equal(withSecret.spec.volumes?.[0]?.secret?.defaultMode, 0o644);
});

t.test('manifests: a load balancer keeps its named target port', async (t) => {
  const service = admitted('service-helloworld-loadbalancer', 'Service').object as Service;
  t.match(service.spec, {
    type: 'LoadBalancer',
    sessionAffinity: 'None',
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    allocateLoadBalancerNodePorts: true,
    ports: [{ port: 80, targetPort: 'nodejs-port', protocol: 'TCP' }],
  });
});
