/** Connection tracking by the `conntrack` program: it runs only when a UDP backend left. */

import { runCommand } from '../../../src/lib/command.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { FlowTable } from './ports.ts';

/** A flow table of this process's network namespace. Failures are logged: stale flows expire by themselves. */
export function conntrackFlowTable(log: Logger): FlowTable {
  return {
    async flushUdp({ ip, port }) {
      const args = ['-D', '-p', 'udp', '--reply-src', ip, '--reply-port-src', String(port)];
      try {
        await runCommand('conntrack', args);
      } catch (error) {
        // Exit code 1 means that there was no such flow, which is the common case.
        if (/0 flow entries/.test(messageOf(error))) return;
        log.warn({ ip, port, error }, 'UDP flows of a backend that left could not be flushed');
      }
    },
  };
}
