/** Which API types this release carries: the roots whose closure is generated, and the kinds of `KindMap`. */

const CORE = 'io.k8s.api.core.v1.';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';

/** Kinds that are stored: names in `KindMap`, with the type of their storage version. */
export const KIND_MAP: Readonly<Record<string, string>> = {
  Namespace: `${CORE}Namespace`,
  Node: `${CORE}Node`,
  Pod: `${CORE}Pod`,
  Service: `${CORE}Service`,
  Endpoints: `${CORE}Endpoints`,
  EndpointSlice: 'io.k8s.api.discovery.v1.EndpointSlice',
  ConfigMap: `${CORE}ConfigMap`,
  Secret: `${CORE}Secret`,
  ServiceAccount: `${CORE}ServiceAccount`,
  Event: `${CORE}Event`,
  Lease: 'io.k8s.api.coordination.v1.Lease',
  ReplicaSet: 'io.k8s.api.apps.v1.ReplicaSet',
  Deployment: 'io.k8s.api.apps.v1.Deployment',
  CustomResourceDefinition:
    'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
};

/** Types that are generated beside the stored kinds: what subresources and reviews carry. */
export const ROOTS: readonly string[] = [
  ...Object.values(KIND_MAP),
  'io.k8s.api.events.v1.Event',
  `${CORE}Binding`,
  'io.k8s.api.autoscaling.v1.Scale',
  'io.k8s.api.policy.v1.Eviction',
  'io.k8s.api.authentication.v1.TokenRequest',
  'io.k8s.api.authentication.v1.TokenReview',
  'io.k8s.api.authentication.v1.SelfSubjectReview',
  'io.k8s.api.authorization.v1.SubjectAccessReview',
  'io.k8s.api.authorization.v1.LocalSubjectAccessReview',
  'io.k8s.api.authorization.v1.SelfSubjectAccessReview',
  'io.k8s.api.authorization.v1.SelfSubjectRulesReview',
  `${META}DeleteOptions`,
  `${META}ListMeta`,
  `${META}Status`,
];
