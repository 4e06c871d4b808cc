/** `scripts/sim`: the simulation of the consensus core, or with `mutations` first the proof that it bites. */

const [first] = process.argv.slice(2);
if (first === 'mutations') {
  process.argv.splice(2, 1);
  await import('../test/sim/mutations.ts');
} else {
  const { main } = await import('../test/sim/raft-sim.ts');
  main();
}
