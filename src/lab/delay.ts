/**
 * Slow and lossy links. Not every kernel has netem, so frames between two slowed hosts take a detour: a
 * netdev rule at the sender's port forwards them to a TAP device, a small process (delay-line.ts) reads
 * them, waits, and writes them back, and a rule at the TAP forwards them to the receiver's port.
 */

import { runCommand } from '../lib/command.ts';
import { SkeinError } from '../lib/errors.ts';
import { launch } from './launch.ts';
import { portsOf } from './network.ts';
import { hostOf, type LabPlan } from './plan.ts';
import { identify, type ProcessId, pause, signalProcess } from './processes.ts';
import type { DelayRule } from './state.ts';
import { endAllIn } from './strays.ts';

export const DELAY_DEVICE = 'delay0';
const SCRIPT = new URL('./delay-line.ts', import.meta.url).pathname;
const START_DEADLINE_MS = 5000;
const POLL_MS = 20;

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

/**
 * Makes exactly `rules` hold; returns the delay line's process, or undefined when no rule is left. Links of hosts that are
 * unplugged get their rule when the host is plugged in again.
 */
export async function ensureDelayLine(
  plan: LabPlan,
  rules: readonly DelayRule[],
): Promise<ProcessId | undefined> {
  await stopDelayLine(plan);
  const ports = await portsOf(plan);
  const plugged = (name: string) => ports.has(hostOf(plan, name).port);
  const present = rules.filter(({ a, b }) => plugged(a) && plugged(b));
  if (present.length === 0) return undefined;
  const lines = present.map((rule) => ({
    ...rule,
    a: hostOf(plan, rule.a).mac,
    b: hostOf(plan, rule.b).mac,
  }));
  const netns = `--net=/run/netns/${plan.switchNetns}`;
  // nsenter without --pid replaces itself by the program: the child's pid is the delay line's.
  const child = await launch({
    what: 'the delay line',
    program: 'nsenter',
    args: [netns, process.execPath, SCRIPT, JSON.stringify(lines)],
    logFile: `${plan.dir}/delay-line.log`,
  });
  const id = await identify(child.pid ?? 0);
  if (!id) throw new SkeinError('command-failed', 'the delay line did not start');
  await waitForDevice(plan, id);
  await runCommand('ip', ['netns', 'exec', plan.switchNetns, 'nft', '-f', '-'], {
    input: delayRuleset(plan, present),
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
    await pause(POLL_MS);
  }
}

/** Ends the delay line: first the detour, so that no frame is led to a device that is gone. */
export async function stopDelayLine(plan: LabPlan): Promise<void> {
  const remove = ['nft', 'add table netdev skein_delay; delete table netdev skein_delay'];
  await runCommand('ip', ['netns', 'exec', plan.switchNetns, ...remove]);
  // Nothing else runs there, and a command that was killed may not have written down that this does.
  await endAllIn(plan.switchNetns);
}
