/** Short names for the generated types of the objects that the pod agent reads and writes. */

import type { KindMap } from '../../../src/client/types.ts';

export type Pod = KindMap['Pod'];
export type PodSpec = Pod['spec'];
export type PodStatus = NonNullable<Pod['status']>;
export type PodCondition = NonNullable<PodStatus['conditions']>[number];
export type ContainerStatus = NonNullable<PodStatus['containerStatuses']>[number];
export type Container = PodSpec['containers'][number];
export type EphemeralContainer = NonNullable<PodSpec['ephemeralContainers']>[number];
export type EnvVar = NonNullable<Container['env']>[number];
export type Probe = NonNullable<Container['livenessProbe']>;
export type LifecycleHandler = NonNullable<NonNullable<Container['lifecycle']>['postStart']>;
export type HttpGetAction = NonNullable<Probe['httpGet']>;
export type Volume = NonNullable<PodSpec['volumes']>[number];
export type VolumeMount = NonNullable<Container['volumeMounts']>[number];
export type KeyToPath = NonNullable<NonNullable<Volume['configMap']>['items']>[number];
export type DownwardItem = NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number];
export type ProjectedSource = NonNullable<NonNullable<Volume['projected']>['sources']>[number];
export type Node = KindMap['Node'];
export type NodeStatus = NonNullable<Node['status']>;
export type NodeCondition = NonNullable<NodeStatus['conditions']>[number];
export type ConfigMap = KindMap['ConfigMap'];
export type Secret = KindMap['Secret'];
export type Service = KindMap['Service'];
export type KubeEvent = KindMap['Event'];
