/**
 * What the pod agent needs from the world, as narrow interfaces. Each has a real implementation and
 * an in-memory twin; both pass one conformance suite.
 */

import type {
  ByteDuplex,
  ExecOptions,
  ExecSession,
  LogOptions,
} from '../../../src/lib/container-streams.ts';
import type { ConfigMap, Secret, Service } from './kinds.ts';

/** A port that a pod publishes on its node. */
export type HostPort = {
  readonly containerPort: number;
  readonly hostPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** Address of the node to publish on; every address when absent. */
  readonly hostIP?: string;
};

export type PodNetworkTarget = {
  readonly podUid: string;
  readonly namespace: string;
  readonly name: string;
  /** Id of the sandbox container: the CNI container id. */
  readonly containerId: string;
  /** Path of the network namespace: /proc/<pid>/ns/net. Empty on detach when the process is gone. */
  readonly netnsPath: string;
  readonly hostPorts: readonly HostPort[];
  /** Limits in bits per second, from the kubernetes.io/*-bandwidth annotations. */
  readonly bandwidth?: { readonly ingressBits?: number; readonly egressBits?: number };
};

export type PodNetworkAttachment = {
  /** The pod's addresses, the primary one first; at least one. */
  readonly ips: readonly string[];
};

/** Connects a pod's network namespace. Never called for pods on the host's network. */
export interface PodNetwork {
  /** Idempotent: attaching the same containerId again answers the same addresses. Rejects with network-failed. */
  attach(target: PodNetworkTarget, signal: AbortSignal): Promise<PodNetworkAttachment>;
  /** Idempotent: releases addresses and rules even when the namespace is gone or was never attached. */
  detach(target: PodNetworkTarget, signal: AbortSignal): Promise<void>;
}

/** A bind mount into a container. */
export type RuntimeMount = {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly propagation?: 'rprivate' | 'rslave' | 'rshared';
};

/** Network, IPC and PID namespaces of a container. `sandbox` joins the sandbox container's. */
export type NamespaceMode = 'private' | 'host' | 'sandbox';

export type RuntimeResources = {
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly memoryBytes?: number;
  readonly pidsMax?: number;
  readonly oomScoreAdj?: number;
};

export type RuntimeSecurity = {
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly readOnlyRoot?: boolean;
  readonly noNewPrivileges?: boolean;
  /** A seccomp profile's JSON, or `unconfined`; the runtime's default when absent. */
  readonly seccomp?: string;
  readonly appArmor?: string;
  /** True leaves /proc unmasked. */
  readonly unmaskedProc?: boolean;
};

/** Everything the runtime must know to make one container, sandbox or not. */
export type ContainerRequest = {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Replaces the image's entrypoint when present. */
  readonly command?: readonly string[];
  /** Replaces the image's arguments when present. */
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly hostname?: string;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  readonly stopSignal?: string;
  /** Id of the sandbox container whose namespaces are joined. */
  readonly sandboxId?: string;
  readonly network: NamespaceMode;
  readonly ipc: NamespaceMode | 'shareable';
  /** `sandbox` joins the sandbox's; a container id joins that container's. */
  readonly pid: NamespaceMode | { readonly containerId: string };
  readonly mounts?: readonly RuntimeMount[];
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly resources?: RuntimeResources;
  readonly security?: RuntimeSecurity;
};

export type RuntimeContainerState = 'created' | 'running' | 'exited';

/** One line of the runtime's list. */
export type ContainerSummary = {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: RuntimeContainerState;
  readonly createdAtMs: number;
};

export type ContainerInspection = {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: RuntimeContainerState;
  /** Process id on the node; 0 when not running. */
  readonly pid: number;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** The runtime's own complaint, for a container that never started. */
  readonly error: string;
  readonly imageId: string;
  readonly tty: boolean;
  readonly createdAtMs: number;
  /** 0 when never. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
};

export type ContainerEvent = {
  readonly kind: 'started' | 'exited' | 'removed';
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
};

export type ImageInfo = {
  /** Content id: sha256:... */
  readonly id: string;
  readonly sizeBytes: number;
  /** The image's user, '' when none is set. */
  readonly user: string;
  /** name@sha256:... of registries it came from. */
  readonly digests: readonly string[];
};

export type ImageSummary = {
  readonly id: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
};

export type RegistryAuth = {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly serveraddress?: string;
};

/** `unreachable`: nobody answered; `refused`: the registry answered no. */
export type PullOutcome =
  | { readonly kind: 'pulled' }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

export type ExecResult = { readonly exitCode: number; readonly output: string };

export type RuntimeInfo = {
  /** As nodeInfo.containerRuntimeVersion: docker://20.10.24. */
  readonly version: string;
  /** Where images and container layers are stored. */
  readonly rootDir: string;
};

/**
 * A container runtime. Every call rejects with runtime-failed (retryable when the daemon is away)
 * and ends early when its signal fires; the caller sets the deadline.
 */
export interface ContainerRuntime {
  info(signal: AbortSignal): Promise<RuntimeInfo>;
  /** Makes the image of the sandbox container if it is not there, without a registry. */
  ensureSandboxImage(image: string, signal: AbortSignal): Promise<void>;
  /** All containers, in any state, that carry the label. */
  list(label: string, signal: AbortSignal): Promise<readonly ContainerSummary[]>;
  /**
   * Streams the events of containers with the label until the signal fires. `onConnected` is called
   * whenever the stream is (again) in place: events before it may have been missed.
   */
  watch(
    label: string,
    listener: { onConnected(): void; onEvent(event: ContainerEvent): void },
    signal: AbortSignal,
  ): Promise<void>;
  /** A container of the same name that exists already is removed first: names are unique per attempt. */
  create(request: ContainerRequest, signal: AbortSignal): Promise<string>;
  start(id: string, signal: AbortSignal): Promise<void>;
  inspect(id: string, signal: AbortSignal): Promise<ContainerInspection | undefined>;
  /** Stop signal, then SIGKILL after the grace. Resolves when the container has ended (or is gone). */
  stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  kill(id: string, signal: AbortSignal): Promise<void>;
  /** Kills if need be, and removes. Absent is fine. */
  remove(id: string, signal: AbortSignal): Promise<void>;
  image(name: string, signal: AbortSignal): Promise<ImageInfo | undefined>;
  images(signal: AbortSignal): Promise<readonly ImageSummary[]>;
  pull(name: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<PullOutcome>;
  /** Runs a command to its end; output is cut at `outputBytesMax` (default 10 KiB). */
  execSync(
    id: string,
    command: readonly string[],
    options: { readonly outputBytesMax?: number },
    signal: AbortSignal,
  ): Promise<ExecResult>;
  exec(id: string, options: ExecOptions, signal: AbortSignal): Promise<ExecSession>;
  attach(
    id: string,
    options: Omit<ExecOptions, 'command'>,
    signal: AbortSignal,
  ): Promise<ExecSession>;
  logs(
    id: string,
    options: Omit<LogOptions, 'previous'>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
}

/** Mounts on the node, beyond what a container brings along. */
export interface Mounter {
  /** Mounts a tmpfs at an existing directory; nothing happens if one is mounted there already. */
  mountTmpfs(
    path: string,
    options: { readonly sizeBytes?: number; readonly mode: number },
  ): Promise<void>;
  /** Unmounts everything at and below `path`. */
  unmountBelow(path: string): Promise<void>;
}

export type TokenRequest = {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The API server's own audience when empty. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
};

/** serviceaccounts/token of the API. */
export interface ServiceAccountTokens {
  create(
    request: TokenRequest,
    signal: AbortSignal,
  ): Promise<{ readonly token: string; readonly expiresAtMs: number }>;
}

/** Seals what the agent keeps on disk: Secrets are in it. What was sealed for one place opens at no other. */
export interface Vault {
  seal(place: string, value: Uint8Array): Uint8Array;
  /** Undefined when it was changed, or sealed elsewhere. */
  open(place: string, sealed: Uint8Array): Uint8Array | undefined;
}

/** ConfigMaps, Secrets and Services as this node knows them: the informers, or what was saved while cut off. */
export interface ObjectSource {
  configMap(namespace: string, name: string): ConfigMap | undefined;
  secret(namespace: string, name: string): Secret | undefined;
  services(namespace: string): readonly Service[];
}

/** Opens TCP connections from the node to a pod. */
export interface Dialer {
  connect(host: string, port: number, signal: AbortSignal): Promise<ByteDuplex>;
}
