import { readdir } from 'node:fs/promises';
import t from 'tap';
import { measureConsensus } from '../../scripts/lib/bench-consensus.ts';
import { consensusSection } from '../../scripts/lib/bench-consensus-table.ts';
import { labDown } from '../../src/lab/index.ts';
import { listLabs } from '../../src/lab/state.ts';

t.setTimeout(240_000);

t.test(
  'bench: a short run measures etcd and Skein in every case, and leaves nothing',
  async (t) => {
    t.teardown(() => labDown('benchquick', () => {}));
    const lines: string[] = [];
    const figures = await measureConsensus({ quick: true, report: (line) => lines.push(line) });
    for (const product of ['etcd', 'Skein'] as const) {
      const { loads, failoverMs, restartSeconds } = figures.products[product];
      t.strictSame(Object.keys(loads).sort(), ['get 1', 'get 16', 'put 1', 'put 16'], product);
      for (const [name, { perSecond, p50Ms, p99Ms, diskBytes }] of Object.entries(loads)) {
        t.ok(perSecond > 10 && p50Ms > 0 && p99Ms >= p50Ms, `${product}, ${name}: ${perSecond}/s`);
        if (name.startsWith('put'))
          t.notOk(diskBytes < 3 * 256, `${product}, ${name}: ${diskBytes} B`);
      }
      t.equal(failoverMs.length, 1);
      t.ok(restartSeconds > 0);
    }
    t.match(consensusSection(figures), /\| put, 16 clients \| \d+\/s .* x \(p99 /);
    t.match(lines.join('\n'), /fdatasync \d/);
    t.notOk((await listLabs()).includes('benchquick'));
    const namespaces = await readdir('/run/netns');
    t.strictSame(
      namespaces.filter((name) => name.includes('benchquick')),
      [],
    );
  },
);
