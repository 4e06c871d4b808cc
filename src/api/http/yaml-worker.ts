/** The other thread's side of yaml-thread.ts: one text, one answer. */

import { parentPort, workerData } from 'node:worker_threads';
import { parseYaml, type YamlOutcome } from './yaml.ts';

const { text } = workerData as { readonly text: string };
const outcome = parseYaml(text);
try {
  parentPort?.postMessage(outcome);
} catch {
  const refusal: YamlOutcome = { kind: 'failed', why: 'the document holds what JSON cannot' };
  parentPort?.postMessage(refusal);
}
