/**
 * Which scalar fields say something with their zero. Go clients write every plain field, zero or not, but an optional
 * one (a pointer) only when it is set: `replicas: 0` is an answer, `hostPort: 0` is nothing. The wire does not tell them
 * apart, so here are the optional ones, by field name, or by `Message.field` where the name alone does not settle it.
 */

const POINTERS: ReadonlySet<string> = new Set(
  `
  activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation allowVolumeExpansion
  attachRequired automountServiceAccountToken averageUtilization backoffLimit backoffLimitPerIndex
  blockOwnerDeletion controller collisionCount completions currentCPUUtilizationPercentage
  defaultMode deletionGracePeriodSeconds enableServiceLinks endPort expirationSeconds
  failedJobsHistoryLimit force fsGroup gracePeriodSeconds hostProcess hostUsers immutable
  initialDelayMilliseconds ipFamilyPolicy leaseDurationSeconds leaseTransitions manualSelector
  maxFailedIndexes minDomains minReplicas mode optional orphanDependents parallelism podInfoOnMount
  preserveUnknownFields priority privileged progressDeadlineSeconds readOnlyRootFilesystem
  recursiveReadOnly remainingItemCount replicas requiresRepublish revisionHistoryLimit runAsGroup
  runAsNonRoot runAsUser seLinuxMount selectorPolicy sendInitialEvents setHostnameAsFQDN
  shareProcessNamespace stabilizationWindowSeconds startingDeadlineSeconds started
  storageCapacity storageClassName successfulJobsHistoryLimit suspend targetCPUUtilizationPercentage
  terminating terminationGracePeriodSeconds tolerationSeconds ttlSecondsAfterFinished
  volumeAttributesClassName volumeMode
  ClientIPConfig.timeoutSeconds ListOptions.timeoutSeconds MutatingWebhook.timeoutSeconds
  ValidatingWebhook.timeoutSeconds EndpointConditions.ready
  EndpointConditions.serving EndpointPort.name EndpointPort.port EndpointPort.protocol
  JobStatus.ready PodDNSConfigOption.value RollingUpdateStatefulSetStrategy.partition
  CSIVolumeSource.readOnly AzureDiskVolumeSource.readOnly ServiceReference.port
  HorizontalPodAutoscalerStatus.observedGeneration PodLogOptions.sinceSeconds
  PodLogOptions.tailLines PodLogOptions.limitBytes GRPCAction.service
  `
    .trim()
    .split(/\s+/),
);

/** True if a zero in this field was set on purpose. `message` is the short name. */
export function isPointer(message: string, field: string): boolean {
  return POINTERS.has(field) || POINTERS.has(`${message}.${field}`);
}
