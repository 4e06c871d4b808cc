/** What every Nftables must do, whatever stands behind it. */

import t, { type Test } from 'tap';
import { observeTable } from '../../../../agents/node/proxy/observed.ts';
import type { Nftables } from '../../../../agents/node/proxy/ports.ts';
import {
  baseScript,
  hostPortFragment,
  serviceFragment,
  TABLE,
} from '../../../../agents/node/proxy/ruleset.ts';
import { Ruleset, renderCommands } from '../../../../agents/node/proxy/transaction.ts';

const REFUSED = { code: 'network-failed', message: /refused/ };
const EMPTY = `add table ip ${TABLE}\ndelete table ip ${TABLE}\nadd table ip ${TABLE}`;
const BASE = { clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' };

/** A small table to try things on. */
const PLAYGROUND = [
  EMPTY,
  `add map ip ${TABLE} verdicts { type ipv4_addr . inet_proto . inet_service : verdict; }`,
  `add set ip ${TABLE} pairs { type ipv4_addr . ipv4_addr; }`,
  `add chain ip ${TABLE} one`,
  `add chain ip ${TABLE} two`,
].join('\n');
const element = (verb: string, port: number, target: string) =>
  `${verb} element ip ${TABLE} verdicts { 10.0.0.1 . tcp . ${port} : goto ${target} }`;

/** Runs the suite on what `open` gives; each test begins with a table of its own. */
export function nftablesConformance(name: string, open: (t: Test) => Promise<Nftables>): void {
  const test = (what: string, body: (t: Test, nft: Nftables) => Promise<void>) =>
    t.test(`nftables (${name}): ${what}`, async (t) => {
      const nft = await open(t);
      await nft.run(PLAYGROUND);
      await body(t, nft);
    });
  const observe = async (nft: Nftables) => observeTable(await nft.list(`table ip ${TABLE}`));

  test('a transaction takes effect as a whole or not at all', async (t, nft) => {
    const before = await observe(nft);
    const half = `add chain ip ${TABLE} three\nadd rule ip ${TABLE} nowhere accept`;
    await t.rejects(nft.run(half), REFUSED);
    t.strictSame(await observe(nft), before);
    await nft.run(`add chain ip ${TABLE} three`);
    t.ok((await observe(nft)).chains.has('three'));
  });

  test('a listing says what was written, in the same words', async (t, nft) => {
    await nft.run(
      [
        `add rule ip ${TABLE} one ip daddr . meta l4proto . th dport vmap @verdicts`,
        `add rule ip ${TABLE} one goto two`,
        element('add', 80, 'two'),
        `add element ip ${TABLE} pairs { 10.0.0.1 . 10.0.0.2 }`,
      ].join('\n'),
    );
    const { chains, sets, elements } = await observe(nft);
    t.strictSame(
      [...chains],
      [
        ['one', 2],
        ['two', 0],
      ],
    );
    t.strictSame([...sets].sort(), ['pairs', 'verdicts']);
    t.strictSame([...elements].sort(), [
      ['pairs 10.0.0.1 . 10.0.0.2', undefined],
      ['verdicts 10.0.0.1 . tcp . 80', 'goto two'],
    ]);
  });

  test('an element added again is no error; with another value it is', async (t, nft) => {
    await nft.run(element('add', 80, 'one'));
    await nft.run(element('add', 80, 'one'));
    await t.rejects(nft.run(element('add', 80, 'two')), REFUSED);
    await nft.run(
      [
        `delete element ip ${TABLE} verdicts { 10.0.0.1 . tcp . 80 }`,
        element('add', 80, 'two'),
      ].join('\n'),
    );
    t.equal((await observe(nft)).elements.get('verdicts 10.0.0.1 . tcp . 80'), 'goto two');
  });

  test('what is not there can be neither deleted nor flushed nor led to', async (t, nft) => {
    const impossible = [
      `delete element ip ${TABLE} verdicts { 10.0.0.9 . tcp . 80 }`,
      `delete chain ip ${TABLE} nowhere`,
      `delete set ip ${TABLE} nothing`,
      `flush chain ip ${TABLE} nowhere`,
      `add rule ip ${TABLE} one goto nowhere`,
      `add rule ip ${TABLE} one ip saddr . ip daddr @nothing accept`,
      element('add', 80, 'nowhere'),
      'delete table ip nothing',
    ];
    for (const command of impossible) await t.rejects(nft.run(command), REFUSED, command);
    await t.rejects(nft.list('table ip nothing'), { code: 'network-failed' });
  });

  test('what is referred to cannot be deleted', async (t, nft) => {
    await nft.run(
      [
        element('add', 80, 'two'),
        `add rule ip ${TABLE} one ip saddr . ip daddr @pairs accept`,
      ].join('\n'),
    );
    await t.rejects(nft.run(`delete chain ip ${TABLE} two`), REFUSED, 'a chain in a verdict map');
    await t.rejects(nft.run(`delete set ip ${TABLE} pairs`), REFUSED, 'a set in a rule');
    await nft.run(
      [
        `delete element ip ${TABLE} verdicts { 10.0.0.1 . tcp . 80 }`,
        `flush chain ip ${TABLE} one`,
        `delete chain ip ${TABLE} two`,
        `delete set ip ${TABLE} pairs`,
      ].join('\n'),
    );
    t.notOk((await observe(nft)).chains.has('two'));
  });

  test('adding what is there changes nothing', async (t, nft) => {
    await nft.run(`add rule ip ${TABLE} one accept`);
    const before = await observe(nft);
    await nft.run(`add table ip ${TABLE}\nadd chain ip ${TABLE} one`);
    t.strictSame(await observe(nft), before);
  });

  test('chains of all tables are listed with hook and policy', async (t, nft) => {
    const chain =
      'add chain ip other guard { type filter hook forward priority filter; policy drop; }';
    await nft.run(`add table ip other\n${chain}`);
    const { nftables } = await nft.list('chains');
    const found = nftables.find(({ chain }) => chain?.['name'] === 'guard')?.['chain'];
    t.match(found, { family: 'ip', table: 'other', hook: 'forward', policy: 'drop' });
    t.ok(nftables.some(({ chain }) => chain?.['name'] === 'one' && chain['table'] === TABLE));
    await nft.run('insert rule ip other guard accept comment "ours"');
    const listed = await nft.list('chain ip other guard');
    t.ok(listed.nftables.some(({ rule }) => rule?.['comment'] === 'ours'));
    await nft.run('delete table ip other');
  });

  test('the table of the proxy is read back as the proxy knows it', async (t, nft) => {
    const ruleset = new Ruleset();
    const backend = { ip: '10.244.1.2', port: 8080, local: true };
    const other = { ip: '10.244.2.2', port: 8080, local: false };
    const service = {
      id: 'default/web/tcp/http',
      protocol: 'tcp',
      clusterIps: ['10.96.0.10'],
      externalIps: ['192.0.2.1'],
      port: 80,
      nodePort: 30080,
      affinitySeconds: undefined,
      backends: [backend, other],
      externalBackends: [backend],
      externalLocal: true,
    } as const;
    const sticky = {
      ...service,
      id: 'default/sticky/udp/53',
      protocol: 'udp',
      clusterIps: ['10.96.0.11'],
      externalIps: [],
      nodePort: undefined,
      affinitySeconds: 60,
    } as const;
    ruleset.change(
      new Map([
        [service.id, serviceFragment(service)],
        [sticky.id, serviceFragment(sticky)],
        [
          'host-ports c1',
          hostPortFragment('10.244.1.3', [
            { protocol: 'TCP', hostPort: 8088, containerPort: 80 },
            { protocol: 'UDP', hostPort: 53, containerPort: 53, hostIP: '127.0.0.1' },
          ]),
        ],
      ]),
    );
    await nft.run([EMPTY, baseScript(BASE), renderCommands(ruleset.rebuild())].join('\n'));
    const found = await observe(nft);
    const wanted = ruleset.observed();
    t.strictSame(
      [...found.elements].sort(),
      [...wanted.elements].sort(),
      'elements with their values',
    );
    for (const [chain, rules] of wanted.chains) t.equal(found.chains.get(chain), rules, chain);
    for (const set of wanted.sets) t.ok(found.sets.has(set), set);
  });
}
