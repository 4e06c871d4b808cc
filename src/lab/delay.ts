/**
 * Slow and lossy links. Not every kernel has netem, so frames between two slowed hosts take a detour: a
 * netdev rule at the sender's port forwards them to a TAP device, a small process (delay-line.ts) reads
 * them, waits, and writes them back, and a rule at the TAP forwards them to the receiver's port.
 */

import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import { hostOf, type LabPlan } from './plan.ts';
import { type DelayRule, identify, type ProcessId, signalProcess, waitGone } from './state.ts';

export const DELAY_DEVICE = 'delay0';
const SCRIPT = new URL('./delay-line.ts', import.meta.url).pathname;
const START_DEADLINE_MS = 5000;

/** The rules that lead frames of slowed links to the delay line and back. Pure. */
export function delayRuleset(plan: LabPlan, rules: readonly DelayRule[]): string {
  const directions = rules.flatMap(({ a, b }) => [
    { from: hostOf(plan, a), to: hostOf(plan, b) },
    { from: hostOf(plan, b), to: hostOf(plan, a) },
  ]);
  const senders = [...new Set(directions.map(({ from }) => from))];
  const receivers = [...new Set(directions.map(({ to }) => to))];
  const chains = senders.map((sender) => {
    const detours = directions
      .filter(({ from }) => from === sender)
      .map(({ to }) => `    ether daddr ${to.mac} fwd to "${DELAY_DEVICE}"`);
    return `  chain from_${sender.name} {
    type filter hook ingress device "${sender.port}" priority 0;
${detours.join('\n')}
  }`;
  });
  const returns = receivers.map((to) => `    ether daddr ${to.mac} fwd to "${to.port}"`);
  return `table netdev skein_delay
delete table netdev skein_delay
table netdev skein_delay {
${chains.join('\n')}
  chain back {
    type filter hook ingress device "${DELAY_DEVICE}" priority 0;
${returns.join('\n')}
  }
}
`;
}

/** Makes exactly `rules` hold; returns the delay line's process, or undefined when no rule is left. */
export async function ensureDelayLine(
  plan: LabPlan,
  rules: readonly DelayRule[],
  running: ProcessId | undefined,
): Promise<ProcessId | undefined> {
  await stopDelayLine(plan, running);
  if (rules.length === 0) return undefined;
  const lines = rules.map((rule) => ({
    ...rule,
    a: hostOf(plan, rule.a).mac,
    b: hostOf(plan, rule.b).mac,
  }));
  const log = await open(`${plan.dir}/delay-line.log`, 'a', 0o600);
  // nsenter without --pid replaces itself by the program: the child's pid is the delay line's.
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${plan.switchNetns}`, process.execPath, SCRIPT, JSON.stringify(lines)],
    { detached: true, stdio: ['ignore', log.fd, log.fd], cwd: '/' },
  );
  child.unref();
  await log.close();
  const id = await identify(child.pid ?? 0);
  if (!id) throw new SkeinError('command-failed', 'the delay line did not start');
  await waitForDevice(plan, id);
  await runCommand('ip', ['netns', 'exec', plan.switchNetns, 'nft', '-f', '-'], {
    input: delayRuleset(plan, rules),
  });
  return id;
}

async function waitForDevice(plan: LabPlan, id: ProcessId): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  const up = ['-netns', plan.switchNetns, 'link', 'set', DELAY_DEVICE, 'up'];
  for (;;) {
    const failure = await runCommand('ip', up).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) return;
    if (performance.now() > deadline) {
      await signalProcess(id, 'SIGKILL');
      const log = `${plan.dir}/delay-line.log`;
      throw new SkeinError('command-failed', `the delay line made no device; see ${log}`, {
        cause: failure,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Ends the delay line: first the detour, so that no frame is led to a device that is gone. */
export async function stopDelayLine(plan: LabPlan, running: ProcessId | undefined): Promise<void> {
  if (!running) return;
  const remove = ['nft', 'add table netdev skein_delay; delete table netdev skein_delay'];
  await runCommand('ip', ['netns', 'exec', plan.switchNetns, ...remove]);
  await signalProcess(running, 'SIGTERM');
  await waitGone(running, START_DEADLINE_MS);
}
