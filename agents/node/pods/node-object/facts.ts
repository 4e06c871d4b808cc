/** What this machine is: size, system, identity. Read once at the start. */

import { readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, release, totalmem } from 'node:os';

export type NodeFacts = {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly machineId: string;
  readonly bootId: string;
  readonly systemUuid: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** As Go and image manifests name it. */
  readonly architecture: string;
};

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
  ppc64: 'ppc64le',
  riscv64: 'riscv64',
  s390x: 's390x',
};

/** Reads the facts; `directory` is on the disk that pods use. */
export async function readNodeFacts(directory: string): Promise<NodeFacts> {
  const disk = await statfs(directory);
  const machineId = await textOf('/etc/machine-id');
  return {
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk.blocks * disk.bsize,
    machineId,
    bootId: await textOf('/proc/sys/kernel/random/boot_id'),
    systemUuid: (await textOf('/sys/class/dmi/id/product_uuid')) || machineId,
    kernelVersion: release(),
    osImage: osName(await textOf('/etc/os-release')),
    architecture: ARCHITECTURES[arch()] ?? arch(),
  };
}

/** Bytes that can still be used: memory the kernel deems available, and free disk. */
export async function readPressure(directory: string): Promise<{
  readonly memoryFreeBytes: number;
  readonly diskFreeBytes: number;
  readonly inodesFreeShare: number;
}> {
  const disk = await statfs(directory);
  const meminfo = await textOf('/proc/meminfo');
  const kib = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0);
  return {
    memoryFreeBytes: kib * 1024,
    diskFreeBytes: disk.bavail * disk.bsize,
    inodesFreeShare: disk.files > 0 ? disk.ffree / disk.files : 1,
  };
}

async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

function osName(osRelease: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? 'Linux';
}
