/**
 * Large YAML texts are parsed in a thread of their own: a megabyte takes seconds, in which this node would answer nobody,
 * and send no heartbeat either.
 */

import { Worker } from 'node:worker_threads';
import { tooManyRequests } from './errors.ts';
import { parseYaml, type YamlOutcome } from './yaml.ts';

/** Texts up to this size are parsed at once: a few milliseconds. */
const INLINE_CHARS_MAX = 16 * 1024;
/** Threads at once; more would take the machine's processors from everything else. */
const THREADS_MAX = 2;
const DEADLINE_MS = 30_000;
const MEMORY_MB_MAX = 512;

let threads = 0;

/** The value of `text`. Rejects with ApiError 429 when too much is being parsed already. */
export async function parseYamlAside(text: string): Promise<YamlOutcome> {
  if (text.length <= INLINE_CHARS_MAX) return parseYaml(text);
  if (threads >= THREADS_MAX) throw tooManyRequests();
  threads++;
  try {
    return await inThread(text);
  } finally {
    threads--;
  }
}

function inThread(text: string): Promise<YamlOutcome> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL('./yaml-worker.ts', import.meta.url), {
      workerData: { text },
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB_MAX },
    });
    const end = (outcome: YamlOutcome) => {
      clearTimeout(timer);
      resolve(outcome);
      void worker.terminate();
    };
    const why = `the document takes longer than ${DEADLINE_MS / 1000} s to read; send it as JSON`;
    const timer = setTimeout(() => end({ kind: 'failed', why }), DEADLINE_MS);
    worker.once('message', end);
    worker.once('error', (error: Error) => end({ kind: 'failed', why: error.message }));
    worker.once('exit', () => end({ kind: 'failed', why: 'the document could not be read' }));
  });
}
