import t from 'tap';
import type { ConsensusFigures, LoadFigures } from '../../scripts/lib/bench-consensus.ts';
import { consensusSection } from '../../scripts/lib/bench-consensus-table.ts';

function load(perSecond: number, p99Ms: number, diskBytes = 1024): LoadFigures {
  const cores = { clientCores: 0.2, memberCores: 1.5 };
  return { perSecond, p50Ms: 1, p99Ms, diskBytes, requests: 1000, ...cores };
}

const figures: ConsensusFigures = {
  etcdVersion: '3.4.23',
  hardware: {
    cores: '2 cores (a machine)',
    syncMs: { p50: 0.1, p99: 0.4 },
    roundTripMs: { p50: 0.05, p99: 0.1 },
  },
  logBytes: 2 ** 30,
  products: {
    etcd: {
      loads: { 'get 16': load(6000, 5), 'put 128': load(7000, 30, 3072), 'put 16': load(2000, 10) },
      failoverMs: [1000, 2000, 3000],
      restartSeconds: 4,
    },
    Skein: {
      loads: { 'get 16': load(12_000, 4), 'put 16': load(3000, 5), 'put 128': load(7000, 45) },
      failoverMs: [100, 300, 900],
      restartSeconds: 2,
    },
  },
};

t.test('bench: ratios stand beside both figures, the goal and the machine', async (t) => {
  const section = consensusSection(figures);
  const row = (what: string) => section.split('\n').find((line) => line.startsWith(`| ${what}`));
  t.match(row('put, 16 clients'), /2000\/s .*3000\/s .*1\.50 x \(p99 0\.50 x\) \| 1\.00 x, p99/);
  t.match(row('put, 128 clients'), '1.00 x (p99 1.50 x)');
  t.match(row('linearizable get, 16 clients'), /2\.00 x .*\| 1\.50 x \|/);
  t.match(
    row('SIGKILL'),
    /median 2000 ms, worst 3000 ms \| median 300 ms, worst 900 ms \| 0\.15 x/,
  );
  t.match(row('KiB sent'), '| 1.0, 3.0 | 1.0, 1.0 | 0.33 x');
  t.match(row('restart with 1 GiB'), '| 4.0 s | 2.0 s | 0.50 x');
  t.match(section, '2 cores (a machine); one fdatasync 0.10 ms (p99 0.40 ms); one round trip 0.05');
  const rows = section.split('\n').filter((line) => line.startsWith('| '));
  t.match(rows[2], /^\| put, 16/, 'few clients before many, puts before gets');
});
