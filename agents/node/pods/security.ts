/** securityContext of pod and container, as the runtime takes it. Pure. */

import type { Pod } from './kinds.ts';
import type { RuntimeSecurity } from './ports.ts';
import { type AnyContainer, podLabel } from './record.ts';

type SecurityContext = NonNullable<AnyContainer['securityContext']>;

/** Sysctls that cannot harm other pods: each is confined to the pod's namespaces. */
const SAFE_SYSCTLS: ReadonlySet<string> = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]);

/** The effective setting: the container's own, else the pod's. */
function effective<
  K extends 'runAsUser' | 'runAsGroup' | 'runAsNonRoot' | 'seccompProfile' | 'appArmorProfile',
>(pod: Pod, spec: AnyContainer, key: K): SecurityContext[K] | undefined {
  return spec.securityContext?.[key] ?? (pod.spec.securityContext?.[key] as SecurityContext[K]);
}

/** How the container is confined. `imageUser` is what the image says. */
export function securityOf(pod: Pod, spec: AnyContainer, imageUser: string): RuntimeSecurity {
  const own = spec.securityContext ?? {};
  const user = userOf(pod, spec, imageUser);
  const groups = groupsOf(pod);
  const seccomp = effective(pod, spec, 'seccompProfile');
  const appArmor = effective(pod, spec, 'appArmorProfile');
  return {
    ...(user === undefined ? {} : { user }),
    ...(groups.length > 0 ? { groups } : {}),
    ...(own.capabilities?.add ? { capAdd: own.capabilities.add } : {}),
    ...(own.capabilities?.drop ? { capDrop: own.capabilities.drop } : {}),
    ...(own.privileged ? { privileged: true } : {}),
    ...(own.readOnlyRootFilesystem ? { readOnlyRoot: true } : {}),
    ...(own.allowPrivilegeEscalation === false ? { noNewPrivileges: true } : {}),
    ...(seccomp?.type === 'Unconfined' ? { seccomp: 'unconfined' } : {}),
    ...(appArmor?.type === 'Unconfined' ? { appArmor: 'unconfined' } : {}),
    ...(appArmor?.type === 'Localhost' && appArmor.localhostProfile
      ? { appArmor: appArmor.localhostProfile }
      : {}),
    ...(own.procMount === 'Unmasked' ? { unmaskedProc: true } : {}),
  };
}

/** Why the container must not run as it would, in upstream's words; undefined if it may. */
export function rootRefusal(pod: Pod, spec: AnyContainer, imageUser: string): string | undefined {
  if (!effective(pod, spec, 'runAsNonRoot')) return undefined;
  const where = `(pod: "${podLabel(pod)}", container: ${spec.name})`;
  const runAsUser = effective(pod, spec, 'runAsUser');
  if (runAsUser === 0) return `container's runAsUser breaks non-root policy ${where}`;
  if (runAsUser !== undefined) return undefined;
  const user = imageUser.split(':')[0] ?? '';
  if (user === '' || user === '0') {
    return `container has runAsNonRoot and image will run as root ${where}`;
  }
  if (/^\d+$/.test(user)) return undefined;
  return `container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root ${where}`;
}

/** What the agent cannot run: the pod fails with the reason. Undefined for a pod it can run. */
export function podRefusal(pod: Pod): { reason: string; message: string } | undefined {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const safe = SAFE_SYSCTLS.has(name.replaceAll('/', '.'));
    if (!safe)
      return { reason: 'SysctlForbidden', message: `forbidden sysctl: "${name}" not allowlisted` };
  }
  if (pod.spec.os?.name === 'windows') {
    return {
      reason: 'PodOSNotSupported',
      message: "Failed to admit pod as the OS field doesn't match node OS",
    };
  }
  return undefined;
}

/** Sysctls of the pod's sandbox. */
export function sysctlsOf(pod: Pod): Record<string, string> {
  const list = pod.spec.securityContext?.sysctls ?? [];
  return Object.fromEntries(list.map(({ name, value }) => [name.replaceAll('/', '.'), value]));
}

function userOf(pod: Pod, spec: AnyContainer, imageUser: string): string | undefined {
  const user = effective(pod, spec, 'runAsUser');
  const group = effective(pod, spec, 'runAsGroup');
  if (user === undefined && group === undefined) return undefined;
  const name = user === undefined ? imageUser.split(':')[0] || '0' : String(user);
  return group === undefined ? name : `${name}:${group}`;
}

function groupsOf(pod: Pod): string[] {
  const { supplementalGroups = [], fsGroup } = pod.spec.securityContext ?? {};
  return [...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])].map(String);
}
