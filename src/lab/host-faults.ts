/**
 * Faults of one host's disk and wall clock. The host's Skein process runs over a shim (fault-shim.c) that asks a control
 * block what to do; the block is a file of one page, and is all there is to remember: a fault outlives the process it met, as a
 * broken disk does.
 */

import { access, mkdir, open, readFile, rename } from 'node:fs/promises';
import { DEFAULT_DATA_DIR } from '../cli/control-client.ts';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import type { HostPlan, LabPlan } from './plan.ts';

/** What calls of one kind meet. `grow`: only writes that would make a file larger fail, as on a full disk. */
export type CallFault =
  | { readonly kind: 'fail' | 'grow'; readonly error: DiskErrorName }
  | { readonly kind: 'delay'; readonly delayMs: number }
  | { readonly kind: 'hang' };

/** `sync`: fsync and its like. `write`: bytes into files. `change`: making, renaming and truncating files. */
export type DiskFaults = Readonly<Partial<Record<DiskCall, CallFault>>>;

export type HostFaults = {
  readonly disk: DiskFaults;
  /** How much the host's wall clock is ahead, in ms; negative when it is behind. */
  readonly clockOffsetMs: number;
};

export type DiskCall = (typeof CALLS)[number];
export type DiskErrorName = keyof typeof ERRORS;

/** How often calls met a fault. */
export type FaultsMet = Readonly<Record<DiskCall, number>>;

export const NO_FAULTS: HostFaults = { disk: {}, clockOffsetMs: 0 };

const CALLS = ['sync', 'write', 'change'] as const;
const ERRORS = { EIO: 5, EROFS: 30, ENOSPC: 28 } as const;
const ACTIONS = { fail: 1, delay: 2, hang: 3, grow: 4 } as const;
const SHIM_SOURCE = new URL('./fault-shim.c', import.meta.url).pathname;
const COMPILE_DEADLINE_MS = 60_000;
const BLOCK_BYTES = 4096;
const MAGIC = 0x746c6166;
const VERSION = 1;
const CLOCK_AT = 8;
const FAULTS_AT = 16;
const FAULT_BYTES = 16;
const MET_AT = 64;
const NS_PER_MS = 1_000_000n;
/** A day either way: more than any clock that somebody would still trust. */
export const CLOCK_OFFSET_MS_MAX = 86_400_000;

/** The part of a control block that the lab writes: everything before the counters. Pure. */
export function encodeFaults({ disk, clockOffsetMs }: HostFaults): Buffer {
  const block = Buffer.alloc(MET_AT);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(VERSION, 4);
  block.writeBigInt64LE(BigInt(Math.round(clockOffsetMs)) * NS_PER_MS, CLOCK_AT);
  for (const [at, call] of CALLS.entries()) {
    const fault = disk[call];
    if (fault === undefined) continue;
    const offset = FAULTS_AT + at * FAULT_BYTES;
    block.writeUInt32LE(ACTIONS[fault.kind], offset);
    if ('error' in fault) block.writeInt32LE(ERRORS[fault.error], offset + 4);
    if ('delayMs' in fault) block.writeUInt32LE(fault.delayMs, offset + 8);
  }
  return block;
}

/** The faults in a control block, and how often they were met. Throws data-damaged when it is none. Pure. */
export function decodeFaults(block: Buffer): HostFaults & { readonly met: FaultsMet } {
  if (block.length < BLOCK_BYTES || block.readUInt32LE(0) !== MAGIC) {
    throw new SkeinError('data-damaged', 'this is no control block of faults');
  }
  const disk: Partial<Record<DiskCall, CallFault>> = {};
  const met = { sync: 0, write: 0, change: 0 };
  for (const [at, call] of CALLS.entries()) {
    const fault = decodeFault(block, FAULTS_AT + at * FAULT_BYTES);
    if (fault !== undefined) disk[call] = fault;
    met[call] = Number(block.readBigUInt64LE(MET_AT + at * 8));
  }
  return { disk, clockOffsetMs: Number(block.readBigInt64LE(CLOCK_AT) / NS_PER_MS), met };
}

function decodeFault(block: Buffer, offset: number): CallFault | undefined {
  const code = block.readUInt32LE(offset);
  const number = block.readInt32LE(offset + 4);
  const error = (Object.keys(ERRORS) as DiskErrorName[]).find((name) => ERRORS[name] === number);
  if (code === ACTIONS.delay) return { kind: 'delay', delayMs: block.readUInt32LE(offset + 8) };
  if (code === ACTIONS.hang) return { kind: 'hang' };
  if (code === ACTIONS.fail) return { kind: 'fail', error: error ?? 'EIO' };
  if (code === ACTIONS.grow) return { kind: 'grow', error: error ?? 'ENOSPC' };
  return undefined;
}

const blockFile = (host: HostPlan): string => `${host.dir}/faults`;
const shimFile = (plan: LabPlan): string => `${plan.dir}/fault-shim.so`;

/** Compiles the shim for this machine. Throws config-invalid with the remedy when there is no compiler. */
export async function buildShim(plan: LabPlan): Promise<void> {
  const path = shimFile(plan);
  const fresh = `${path}.new`;
  const args = ['-shared', '-fPIC', '-O2', '-pthread', '-o', fresh, SHIM_SOURCE, '-ldl'];
  await runCommand('gcc', args, { deadlineMs: COMPILE_DEADLINE_MS }).catch((cause: unknown) => {
    const remedy = 'faults of disk and clock need a compiler: apt-get install gcc libc6-dev';
    throw new SkeinError('config-invalid', remedy, { cause });
  });
  // Renamed: processes that have the old one mapped keep it.
  await rename(fresh, path);
}

/** The environment in which a host's Skein process runs over the shim; makes the host's control block when it is missing. */
export async function shimEnvironment(plan: LabPlan, host: HostPlan): Promise<string[]> {
  const path = blockFile(host);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (!there) {
    await mkdir(host.dir, { recursive: true, mode: 0o700 });
    const block = Buffer.alloc(BLOCK_BYTES);
    encodeFaults(NO_FAULTS).copy(block);
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(block);
    } finally {
      await file.close();
    }
  }
  return [
    `LD_PRELOAD=${shimFile(plan)}`,
    `SKEIN_FAULTS=${path}`,
    `SKEIN_FAULTS_BELOW=${DEFAULT_DATA_DIR}`,
    // What goes to the kernel through a ring would pass the shim by.
    'UV_USE_IO_URING=0',
  ];
}

/** A host's faults, and how often they were met; undefined when its Skein process never ran over the shim. */
export async function readFaults(
  host: HostPlan,
): Promise<ReturnType<typeof decodeFaults> | undefined> {
  const block = await readFile(blockFile(host)).catch(() => undefined);
  return block && decodeFaults(block);
}

/** Makes exactly these faults hold on a host, at once. Throws config-invalid with the remedy where there is no shim. */
export async function writeFaults(host: HostPlan, faults: HostFaults): Promise<void> {
  const file = await open(blockFile(host), 'r+').catch((cause: unknown) => {
    throw new SkeinError(
      'config-invalid',
      'this lab has no faults of disk and clock; start one that has with: skein lab up --faults',
      { cause },
    );
  });
  try {
    // In place and in one write: the process has the file mapped.
    await file.write(encodeFaults(faults), 0, MET_AT, 0);
  } finally {
    await file.close();
  }
}
