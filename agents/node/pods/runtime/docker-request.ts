/** Translates a container request into the body of Docker's create call. Pure. */

import type Docker from 'dockerode';
import type { ContainerRequest, NamespaceMode, RuntimeMount, RuntimeSecurity } from '../ports.ts';

const CPU_PERIOD_US = 100_000;
/** Containers of a pod share /dev/shm of this size, Docker's own default. */
const LOG_FILE_MAX = '10m';
const LOG_FILES_MAX = '2';

/** Body of POST /containers/create; names are given as a query by the caller. */
export function createBody(request: ContainerRequest): Docker.ContainerCreateOptions {
  const { command, args, env, workingDir, hostname, security } = request;
  return {
    Image: request.image,
    Labels: { ...request.labels },
    ...(command ? { Entrypoint: [...command] } : {}),
    // A command of the pod replaces both halves of the image's; Docker would keep the image's Cmd.
    ...(args ? { Cmd: [...args] } : command ? { Cmd: [] } : {}),
    ...(env ? { Env: [...env] } : {}),
    ...(workingDir ? { WorkingDir: workingDir } : {}),
    ...(hostname === undefined ? {} : { Hostname: hostname }),
    ...(security?.user ? { User: security.user } : {}),
    ...(request.stopSignal ? { StopSignal: request.stopSignal } : {}),
    ...(request.stdin ? { OpenStdin: true, StdinOnce: request.stdinOnce ?? false } : {}),
    ...(request.tty ? { Tty: true } : {}),
    Healthcheck: { Test: ['NONE'] },
    HostConfig: hostConfig(request),
  };
}

function hostConfig(request: ContainerRequest): Docker.HostConfig {
  const { resources = {}, security = {}, sysctls, sandboxId } = request;
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryBytes, pidsMax, oomScoreAdj } = resources;
  return {
    NetworkMode: namespaceMode(request.network, sandboxId, 'none'),
    IpcMode: request.ipc === 'shareable' ? 'shareable' : namespaceMode(request.ipc, sandboxId, ''),
    PidMode: pidMode(request),
    LogConfig: {
      Type: 'json-file',
      Config: { 'max-size': LOG_FILE_MAX, 'max-file': LOG_FILES_MAX },
    },
    RestartPolicy: { Name: 'no' },
    ...(request.mounts ? { Mounts: request.mounts.map(bindMount) } : {}),
    ...(sysctls ? { Sysctls: { ...sysctls } } : {}),
    ...(cpuShares === undefined ? {} : { CpuShares: cpuShares }),
    ...(cpuQuotaUs === undefined
      ? {}
      : { CpuQuota: cpuQuotaUs, CpuPeriod: cpuPeriodUs ?? CPU_PERIOD_US }),
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(pidsMax === undefined ? {} : { PidsLimit: pidsMax }),
    ...(oomScoreAdj === undefined ? {} : { OomScoreAdj: oomScoreAdj }),
    ...securityConfig(security),
  };
}

function securityConfig(security: RuntimeSecurity): Docker.HostConfig {
  const { groups, capAdd, capDrop, privileged, readOnlyRoot } = security;
  const options = [
    ...(security.noNewPrivileges ? ['no-new-privileges'] : []),
    ...(security.seccomp ? [`seccomp=${security.seccomp}`] : []),
    ...(security.appArmor ? [`apparmor=${security.appArmor}`] : []),
  ];
  return {
    ...(groups && groups.length > 0 ? { GroupAdd: [...groups] } : {}),
    ...(capAdd && capAdd.length > 0 ? { CapAdd: [...capAdd] } : {}),
    ...(capDrop && capDrop.length > 0 ? { CapDrop: [...capDrop] } : {}),
    ...(privileged ? { Privileged: true } : {}),
    ...(readOnlyRoot ? { ReadonlyRootfs: true } : {}),
    ...(options.length > 0 ? { SecurityOpt: options } : {}),
    ...(security.unmaskedProc ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
  };
}

function namespaceMode(mode: NamespaceMode, sandboxId: string | undefined, priv: string): string {
  if (mode === 'sandbox' && sandboxId) return `container:${sandboxId}`;
  return mode === 'host' ? 'host' : priv;
}

function pidMode({ pid, sandboxId }: ContainerRequest): string {
  if (typeof pid === 'object') return `container:${pid.containerId}`;
  return namespaceMode(pid, sandboxId, '');
}

/** Mounts, not Binds: a path may hold a colon, and a missing source is an error instead of a new directory. */
function bindMount(mount: RuntimeMount): Docker.MountSettings {
  const { hostPath, containerPath, readOnly, propagation } = mount;
  return {
    Type: 'bind',
    Source: hostPath,
    Target: containerPath,
    ReadOnly: readOnly,
    // Docker's default is private, save for mounts that contain its own directory (`/`), which it refuses to make private.
    ...(propagation === undefined ? {} : { BindOptions: { Propagation: propagation } }),
  };
}
