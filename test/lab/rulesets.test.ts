import t from 'tap';
import { delayRuleset } from '../../src/lab/delay.ts';
import { distinctPairs, droppedDirections, replaceRule } from '../../src/lab/link-faults.ts';
import { cutRuleset } from '../../src/lab/network.ts';
import { planLab } from '../../src/lab/plan.ts';

const plan = planLab({ root: '/labs', name: 'lab', index: 0, nodes: 3 });

t.test('lab: a cut drops frames between two ports, both ways, and nothing else', async (t) => {
  t.equal(
    cutRuleset([
      ['p-node1', 'p-node2'],
      ['p-node2', 'p-node1'],
    ]),
    `table bridge skein_lab
delete table bridge skein_lab
table bridge skein_lab {
  set cut { type ifname . ifname; elements = { "p-node1" . "p-node2", "p-node2" . "p-node1" } }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname . oifname @cut drop
  }
}
`,
  );
  t.notMatch(cutRuleset([]), /elements/, 'no cut, no element: the set is empty, not malformed');
});

t.test('lab: a slow link is a detour from both of its ports and back', async (t) => {
  const rule = { a: 'node1', b: 'node2', delayMs: 20, lossPercent: 1 };
  t.equal(
    delayRuleset(plan, [rule]),
    `table netdev skein_delay
delete table netdev skein_delay
table netdev skein_delay {
  chain from_node1 {
    type filter hook ingress device "p-node1" priority 0;
    ether daddr 02:77:00:00:00:0c fwd to "delay0"
  }
  chain from_node2 {
    type filter hook ingress device "p-node2" priority 0;
    ether daddr 02:77:00:00:00:0b fwd to "delay0"
  }
  chain back {
    type filter hook ingress device "delay0" priority 0;
    ether daddr 02:77:00:00:00:0c fwd to "p-node2"
    ether daddr 02:77:00:00:00:0b fwd to "p-node1"
  }
}
`,
  );
});

t.test('lab: a host with two slow links has one chain with both detours', async (t) => {
  const slow = { delayMs: 5, lossPercent: 0 };
  const text = delayRuleset(plan, [
    { a: 'node1', b: 'node2', ...slow },
    { a: 'node3', b: 'node1', ...slow },
  ]);
  t.equal(text.match(/chain from_node1/g)?.length, 1);
  t.equal(text.match(/chain from_node[23]/g)?.length, 2);
});

t.test('lab: a link is cut once, whichever way round it is named', async (t) => {
  const cuts = [
    ['node1', 'node2'],
    ['node2', 'node1'],
    ['node1', 'node3'],
  ] as const;
  t.strictSame(
    distinctPairs(cuts).map((pair) => [...pair].sort()),
    [
      ['node1', 'node2'],
      ['node1', 'node3'],
    ],
  );
});

t.test(
  'lab: a cut drops both directions, a one-way cut one, and none is dropped twice',
  async (t) => {
    t.strictSame(
      droppedDirections({
        cuts: [['node1', 'node2']],
        oneWayCuts: [
          ['node2', 'node1'],
          ['node3', 'node1'],
        ],
      }),
      [
        ['node1', 'node2'],
        ['node2', 'node1'],
        ['node3', 'node1'],
      ],
    );
  },
);

t.test('lab: a link has one delay; asking for none removes it', async (t) => {
  const rule = { a: 'node1', b: 'node2', delayMs: 20, lossPercent: 0 };
  const other = { a: 'node1', b: 'node3', delayMs: 20, lossPercent: 0 };
  const back = { a: 'node2', b: 'node1', delayMs: 50, lossPercent: 5 };
  t.strictSame(replaceRule([rule, other], back), [other, back]);
  t.strictSame(replaceRule([rule, other], { ...back, delayMs: 0, lossPercent: 0 }), [other]);
  t.strictSame(replaceRule([], { ...back, delayMs: 0 }), [{ ...back, delayMs: 0 }], 'loss alone');
});
