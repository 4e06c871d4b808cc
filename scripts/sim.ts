/** `scripts/sim`: the simulation of consensus and store, or with `mutations` first the proof that it bites. */

const [first, ...rest] = process.argv.slice(2);
if (first === 'mutations') {
  const { main } = await import('../test/sim/mutations.ts');
  await main(rest);
} else {
  const { main } = await import('../test/sim/sim.ts');
  await main(process.argv.slice(2));
}
