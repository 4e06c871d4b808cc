import fc from 'fast-check';
import t from 'tap';
import { MemoryNftables } from '../../../../agents/node/proxy/memory-nftables.ts';
import {
  baseScript,
  type Fragment,
  hostPortFragment,
  serviceFragment,
} from '../../../../agents/node/proxy/ruleset.ts';
import type { ServicePortModel } from '../../../../agents/node/proxy/service-model.ts';
import {
  type NftCommand,
  Ruleset,
  renderCommands,
} from '../../../../agents/node/proxy/transaction.ts';

const BASE = `add table ip skein\n${baseScript({ clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' })}`;
const SERVICES = ['a', 'b', 'c'];

const backend = fc.record({
  ip: fc.constantFrom('10.244.0.1', '10.244.0.2', '10.244.0.3', '10.244.0.4'),
  port: fc.constantFrom(80, 8080),
  local: fc.boolean(),
});
const backends = fc.uniqueArray(backend, {
  maxLength: 4,
  selector: ({ ip, port }) => `${ip}:${port}`,
});

/** Services that share addresses, node ports and backends, as badly as users can make them. */
const model = (id: string): fc.Arbitrary<ServicePortModel> =>
  fc.record({
    id: fc.constant(id),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    clusterIps: fc.constant([`10.96.0.${SERVICES.indexOf(id) + 1}`]),
    externalIps: fc.subarray(['192.0.2.1', '192.0.2.2']),
    port: fc.constantFrom(53, 80),
    nodePort: fc.constantFrom(undefined, 30080, 30081),
    affinitySeconds: fc.constantFrom(undefined, 60, 120),
    backends,
    externalBackends: backends,
    externalLocal: fc.boolean(),
  });

const fragmentOf = (id: string): fc.Arbitrary<Fragment | undefined> =>
  fc.oneof(
    { weight: 4, arbitrary: model(id).map(serviceFragment) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );

const hostPorts = fc.oneof(
  fc.constant(undefined),
  fc
    .tuple(
      fc.constantFrom('10.244.0.1', '10.244.0.9'),
      fc.array(
        fc.record({
          protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
          hostPort: fc.constantFrom(80, 81),
          containerPort: fc.constantFrom(80, 81),
          hostIP: fc.constantFrom(undefined, '0.0.0.0', '10.0.0.1'),
        }),
        { maxLength: 3 },
      ),
    )
    .map(([ip, ports]) => hostPortFragment(ip, ports)),
);

/** What one transaction changes. */
const change = fc
  .tuple(
    fc.option(fragmentOf('a'), { nil: null }),
    fc.option(fragmentOf('b'), { nil: null }),
    fc.option(fragmentOf('c'), { nil: null }),
    fc.option(hostPorts, { nil: null }),
    fc.option(hostPorts, { nil: null }),
  )
  .map((fragments) => {
    const owners = [...SERVICES, 'host-ports x', 'host-ports y'];
    const changes = new Map<string, Fragment | undefined>();
    for (const [index, fragment] of fragments.entries()) {
      if (fragment !== null) changes.set(owners[index] ?? '', fragment);
    }
    return changes;
  });

const idOf = (command: NftCommand): string =>
  'map' in command ? `${command.map} ${command.key}` : '';

/** Nothing is added twice, nor deleted twice, in one transaction. */
function checkOnce(commands: readonly NftCommand[]): void {
  const seen = new Set<string>();
  for (const command of commands) {
    if (command.op === 'add-rule' || command.op === 'flush-chain') continue;
    const what = 'name' in command ? command.name : idOf(command);
    const text = `${command.op} ${what}`;
    if (seen.has(text)) throw new Error(`twice: ${text}`);
    seen.add(text);
  }
}

t.test('transaction: differences lead to the same table as building it anew', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 12 }), async (changes) => {
      const ruleset = new Ruleset();
      const kernel = new MemoryNftables();
      await kernel.run(BASE);
      const last = new Map<string, Fragment | undefined>();
      for (const step of changes) {
        const commands = ruleset.change(step);
        checkOnce(commands);
        // The twin refuses what the kernel would: a chain deleted under its users, an element in the way.
        await kernel.run(renderCommands(commands));
        for (const [owner, fragment] of step) last.set(owner, fragment);
      }
      const rebuilt = new MemoryNftables();
      await rebuilt.run(`${BASE}\n${renderCommands(ruleset.rebuild())}`);
      const fresh = new Ruleset();
      fresh.change(new Map([...last].sort(([a], [b]) => (a < b ? 1 : -1))));
      const anew = new MemoryNftables();
      await anew.run(`${BASE}\n${renderCommands(fresh.rebuild())}`);
      const [one, two, three] = [kernel, rebuilt, anew].map((nft) => JSON.stringify(nft.dump()));
      return one === two && one === three;
    }),
    { numRuns: 400 },
  );
  t.pass('held for 400 histories');
});

t.test('transaction: no change, no command', async (t) => {
  await fc.assert(
    fc.property(change, (changes) => {
      const ruleset = new Ruleset();
      ruleset.change(changes);
      return ruleset.change(new Map(changes)).length === 0;
    }),
  );
  t.pass('held for every change');
});

t.test('transaction: a service whose backends change is never without rules', async (t) => {
  const fragment = (ip: string): Fragment => ({
    sets: [],
    chains: [{ name: 'svc-a', rules: [`dnat to ${ip}`] }],
    elements: [{ map: 'service_ips', key: 'k', value: 'goto svc-a' }],
  });
  const ruleset = new Ruleset();
  ruleset.change(new Map([['a', fragment('10.0.0.1')]]));
  t.strictSame(ruleset.change(new Map([['a', fragment('10.0.0.2')]])), [
    { op: 'flush-chain', name: 'svc-a' },
    { op: 'add-rule', chain: 'svc-a', rule: 'dnat to 10.0.0.2' },
  ]);
});

t.test(
  'transaction: of two that want one address the first by name has it, whoever came first',
  async (t) => {
    const fragment = (name: string): Fragment => ({
      sets: [],
      chains: [{ name, rules: [] }],
      elements: [{ map: 'service_ips', key: 'k', value: `goto ${name}` }],
    });
    for (const order of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const ruleset = new Ruleset();
      for (const name of order) ruleset.change(new Map([[name, fragment(name)]]));
      t.equal(ruleset.observed().elements.get('service_ips k'), 'goto a');
      ruleset.change(new Map([['a', undefined]]));
      t.equal(ruleset.observed().elements.get('service_ips k'), 'goto b', 'the other takes over');
    }
  },
);

t.test('transaction: a name that could break out of its command is refused', async (t) => {
  for (const name of ['a b', 'a;b', '"a"', '1a', '', 'a}']) {
    t.throws(() => renderCommands([{ op: 'add-chain', name }]), RangeError, name);
  }
});
