/**
 * A core file would hold everything that the process has in memory: keys, Secrets in plain. The soft limit of zero (RLIMIT_CORE) keeps
 * the kernel from writing one; collectors that cores are piped to (systemd-coredump, apport) respect it as well.
 */

import koffi from 'koffi';

const RLIMIT_CORE = 4;
/** Two 64-bit numbers: the soft limit, the hard one. */
const LIMIT_BYTES = 16;

type LimitCall = (resource: number, limit: Buffer) => number;

/** From now on a crash of this process leaves no core file, nor one of its children. Returns false where that cannot be had. */
export function forbidCoreDumps(): boolean {
  if (process.platform !== 'linux') return false;
  const library = koffi.load('libc.so.6');
  const get = library.func('int getrlimit(int resource, void *limit)') as unknown as LimitCall;
  const set = library.func(
    'int setrlimit(int resource, const void *limit)',
  ) as unknown as LimitCall;
  const limit = Buffer.alloc(LIMIT_BYTES);
  if (get(RLIMIT_CORE, limit) !== 0) return false;
  limit.writeBigUInt64LE(0n, 0);
  return set(RLIMIT_CORE, limit) === 0;
}
