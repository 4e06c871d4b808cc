/** Objects that the tests of several agents make. */

import type { Deployment, ReplicaSet, Service } from '../../../agents/cluster/kinds.ts';

export type DeploymentOptions = {
  readonly replicas?: number;
  readonly image?: string;
  readonly spec?: Partial<Deployment['spec']>;
};

/** A Deployment of one container, labelled `app: <name>`. */
export function deployment(name: string, options: DeploymentOptions = {}): Deployment {
  const labels = { app: name };
  const containers = [
    {
      name: 'web',
      image: options.image ?? 'web:1',
      ports: [{ name: 'http', containerPort: 8080 }],
    },
  ];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas: options.replicas ?? 3,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
      ...options.spec,
    },
  };
}

export function replicaSet(name: string, replicas: number): ReplicaSet {
  const { spec } = deployment(name);
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: 'default' },
    spec: { replicas, selector: spec.selector, template: spec.template },
  };
}

/** A Service in front of `deployment(app)`. */
export function service(name: string, app: string, spec: Partial<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      selector: { app },
      ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
      ...spec,
    },
  };
}
