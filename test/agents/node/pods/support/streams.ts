/** Logs and commands of a test node's pods, gathered into texts. */

import type { LogOptions } from '../../../../../src/lib/container-streams.ts';
import type { TestNode } from './cluster.ts';

/** A container that runs a script. */
export function shell(script: string) {
  return { name: 'main', image: 'busybox:1', command: ['sh', '-c', script] };
}

async function targetOf(node: TestNode, pod: string, container: string) {
  const found = await node.pod(pod);
  return { namespace: 'default', pod, podUid: found?.metadata.uid ?? '', container };
}

/** The whole log of a pod's container. */
export async function logsOf(
  node: TestNode,
  pod: string,
  options: LogOptions = {},
  container = 'main',
): Promise<string> {
  const target = await targetOf(node, pod, container);
  const signal = AbortSignal.timeout(10_000);
  const chunks: Uint8Array[] = [];
  for await (const chunk of await node.agent.streams.logs(target, options, signal)) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Runs a command to its end. */
export async function execIn(
  node: TestNode,
  pod: string,
  command: readonly string[],
  input?: string,
  container = 'main',
): Promise<{ stdout: string; stderr: string; code: number }> {
  const target = await targetOf(node, pod, container);
  const options = { command, stdin: input !== undefined, stdout: true, stderr: true, tty: false };
  const signal = AbortSignal.timeout(10_000);
  const session = await node.agent.streams.exec(target, options, signal);
  if (input !== undefined) {
    await session.writeStdin(Buffer.from(input));
    session.closeStdin();
  }
  const texts = { stdout: '', stderr: '' };
  for await (const { channel, data } of session.output) {
    texts[channel] += Buffer.from(data).toString();
  }
  const exit = await session.exit;
  return { ...texts, code: exit.kind === 'exited' ? exit.code : -1 };
}
