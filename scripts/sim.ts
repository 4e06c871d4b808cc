/**
 * `scripts/sim`: the simulation of consensus and store; with `agents` first, of the cluster on top of them; with `mutations`
 * first, the proof that both bite.
 */

const [first, ...rest] = process.argv.slice(2);
if (first === 'mutations') {
  const { main } = await import('../test/sim/mutations.ts');
  await main(rest);
} else if (first === 'agents') {
  const { main } = await import('../test/sim/agents/agents.ts');
  await main(rest);
} else {
  const { main } = await import('../test/sim/sim.ts');
  await main(process.argv.slice(2));
}
