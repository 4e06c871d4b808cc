/** A failing story is cut down to what it takes, with a fault that is put in on purpose. */

import t from 'tap';
import { mutants } from './mutants.ts';
import { cutOptions, replayCommand, shrink, whole } from './shrink.ts';
import { runSeed } from './simulation.ts';
import { switches } from './switches.ts';
import { loadProduct } from './world/product.ts';

t.test('sim: a failing story is cut down, and fails the same way when told again', async (t) => {
  const fault = mutants.find(({ name }) => name === 'a read asks nobody');
  const product = await loadProduct(fault?.edits ?? []);
  const base = { product, seconds: 4 };
  let seed = 1;
  for (;;) {
    const { failure, blows } = await runSeed(seed, base);
    if (failure !== undefined && blows > 0) break;
    seed++;
  }
  const shrunk = await shrink(seed, base, { runsMax: 120 });
  if (shrunk === undefined) return t.fail('it did not fail any more');
  const { cut, failure } = shrunk;
  t.equal(failure.checker, 'reads', 'with the same law');
  t.ok(cut.off.length > (2 * Object.keys(switches).length) / 3, `without ${cut.off}`);
  t.equal(shrunk.blows, 0, 'none of the troubles was needed');
  t.ok((cut.clients ?? 9) <= 3, 'a few clients are enough');
  const again = await runSeed(seed, cutOptions(cut, base));
  t.same(again.failure?.facts, failure.facts, 'told again it is the same');
  const command = replayCommand(seed, 4, cut);
  t.match(command, `--seeds 1 --from ${seed} --seconds 4 --trace --off ${cut.off.join()}`);
});

t.test('sim: a story that holds is not cut', async (t) => {
  t.equal(await shrink(1, { seconds: 2 }, { runsMax: 5 }), undefined);
});

t.test('sim: every switch takes something away, and the rest goes on', async (t) => {
  const plain = await runSeed(5, { seconds: 2 });
  for (const name of Object.keys(switches)) {
    const options = cutOptions({ ...whole, off: [name] }, { seconds: 2 });
    const { failure } = await runSeed(5, options);
    t.equal(failure, undefined, name);
  }
  t.throws(() => cutOptions({ ...whole, off: ['weather'] }, {}), /there is no switch weather/);
  t.equal(plain.failure, undefined);
});
