/**
 * Gives back what start-up left behind. Loading and compiling a node's code makes garbage that an idle process
 * would keep for ever: V8 collects when memory is asked for, and the allocator returns pages when told to.
 * One collection and one trim, once, save an idle node about 20 MiB.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';

/** A node that came up with many objects: standing still for a second would cost it more than the memory is worth. */
const HEAP_BYTES_MAX = 96 * 1024 ** 2;

/** Collects and trims now, unless there is too much to go through; takes some tens of milliseconds. Never throws. */
export function releaseStartupMemory(log: Logger): void {
  const startedMs = performance.now();
  const { rss: before, heapUsed } = process.memoryUsage();
  if (heapUsed > HEAP_BYTES_MAX) return;
  try {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as (options: object) => void;
    collect({ type: 'major', flavor: 'last-resort' });
    koffi.load('libc.so.6').func('int malloc_trim(size_t pad)')(0);
  } catch (error) {
    // Another C library, another V8: the node runs as well with more memory.
    log.debug({ error: messageOf(error) }, 'memory of the start could not be given back');
    return;
  }
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  log.debug(
    {
      beforeMib: mib(before),
      afterMib: mib(process.memoryUsage.rss()),
      ms: Math.round(performance.now() - startedMs),
    },
    'memory of the start was given back',
  );
}
