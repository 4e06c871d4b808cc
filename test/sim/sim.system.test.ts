/** A thousand small worlds, the gate's first ones among them. */

import t from 'tap';
import { keepsItsLaws } from './many-seeds.ts';

const SEEDS = 1000;
const DEADLINE_MS = 280_000;

t.setTimeout(DEADLINE_MS);

t.test(
  `sim: the product keeps its laws and comes back to life under ${SEEDS} seeds`,
  { timeout: DEADLINE_MS },
  (t) => keepsItsLaws(t, SEEDS),
);
