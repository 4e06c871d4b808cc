/** Runs inside a test's network namespace: one JSON request a line to libnftables, one JSON answer a line. */

import { createInterface } from 'node:readline';
import { openNftables } from '../../../../agents/node/proxy/libnftables.ts';
import type { SkeinError } from '../../../../src/lib/errors.ts';

type Request = { readonly run: string } | { readonly list: string };

const nftables = openNftables();
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  const work = 'run' in request ? nftables.run(request.run) : nftables.list(request.list);
  const answer = await work.then(
    (value) => ({ value: value ?? null }),
    (error: SkeinError) => ({ code: error.code, message: error.message }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
