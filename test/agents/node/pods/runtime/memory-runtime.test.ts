/** The in-memory runtime passes the suite that Docker passes. */

import t from 'tap';
import { MemoryRuntime } from '../../../../../agents/node/pods/runtime/memory-runtime.ts';
import { systemClock } from '../../../../../src/lib/clock.ts';
import { runtimeConformance } from './conformance.ts';

const runtime = new MemoryRuntime(systemClock);
runtime.addImage('busybox:1');
// Timers of the clock do not keep the process alive, and here nothing else does.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));
await runtimeConformance(t, runtime);
