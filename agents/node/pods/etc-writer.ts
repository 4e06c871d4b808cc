/** Writes a pod's /etc files and termination logs below its directory, and says how they are mounted. */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PodSettings } from './deps.ts';
import { hostNetworkHostsFile, hostsFile, resolvConf } from './etc-files.ts';
import type { Pod } from './kinds.ts';
import type { RuntimeMount } from './ports.ts';
import type { AnyContainer } from './record.ts';

/** Where systemd-resolved lists the servers behind its stub. */
const STUB_SERVERS_PATH = '/run/systemd/resolve/resolv.conf';
const TERMINATION_LOG = '/dev/termination-log';

/** Writes /etc/hosts and /etc/resolv.conf of the pod. */
export async function writeEtcFiles(
  settings: PodSettings,
  pod: Pod,
  ips: readonly string[],
): Promise<void> {
  const directory = etcDirectory(settings, pod);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const hosts = pod.spec.hostNetwork
    ? hostNetworkHostsFile(pod, await textOf(settings.hostsPath))
    : hostsFile(pod, ips, settings.clusterDns?.domain ?? 'cluster.local');
  const resolv = resolvConf(pod, await nodeResolvConf(settings), settings.clusterDns);
  await writeFile(join(directory, 'hosts'), hosts, { mode: 0o644 });
  await writeFile(join(directory, 'resolv.conf'), resolv, { mode: 0o644 });
}

/** Mounts of the managed files, except where the container mounts its own over them. */
export function etcMounts(settings: PodSettings, pod: Pod, spec: AnyContainer): RuntimeMount[] {
  const own = new Set((spec.volumeMounts ?? []).map(({ mountPath }) => mountPath));
  const readOnly = spec.securityContext?.readOnlyRootFilesystem ?? false;
  const directory = etcDirectory(settings, pod);
  const files = [
    { hostPath: join(directory, 'resolv.conf'), containerPath: '/etc/resolv.conf', readOnly },
    { hostPath: join(directory, 'hosts'), containerPath: '/etc/hosts', readOnly },
  ];
  return files.filter(({ containerPath }) => !own.has(containerPath));
}

/** Where the termination message of one run lies on the node. */
export function terminationLogPath(
  settings: PodSettings,
  pod: Pod,
  container: string,
  restartCount: number,
): string {
  const uid = pod.metadata.uid ?? '';
  return join(settings.root, 'pods', uid, 'containers', container, `${restartCount}.log`);
}

/** Makes an empty termination log that every user may write, and mounts it. */
export async function terminationMount(
  settings: PodSettings,
  pod: Pod,
  spec: AnyContainer,
  restartCount: number,
): Promise<RuntimeMount> {
  const path = terminationLogPath(settings, pod, spec.name, restartCount);
  await mkdir(join(path, '..'), { recursive: true, mode: 0o755 });
  await writeFile(path, '');
  await chmod(path, 0o666);
  const containerPath = spec.terminationMessagePath || TERMINATION_LOG;
  return { hostPath: path, containerPath, readOnly: false };
}

function etcDirectory(settings: PodSettings, pod: Pod): string {
  return join(settings.root, 'pods', pod.metadata.uid ?? '', 'etc');
}

/** A stub resolver on loopback cannot be reached from a pod: where it names its own servers, these are used. */
async function nodeResolvConf({ resolvConfPath }: PodSettings): Promise<string> {
  const text = await textOf(resolvConfPath);
  if (!/^nameserver\s+127\.0\.0\.53\s*$/m.test(text)) return text;
  return (await textOf(STUB_SERVERS_PATH)) || text;
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
