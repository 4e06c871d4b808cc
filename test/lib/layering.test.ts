import t from 'tap';
import { whyForbidden } from '../../scripts/lib/layering.ts';

t.test('layering: imports go up the list, never down', async (t) => {
  t.equal(whyForbidden('src/store/state.ts', 'src/consensus/types.ts'), undefined);
  t.match(whyForbidden('src/consensus/wal.ts', 'src/store/state.ts'), 'may not import');
  t.match(whyForbidden('src/api/verbs/get.ts', 'src/client/types.ts'), 'may not import');
  t.match(whyForbidden('raft/log.ts', 'src/lib/invariant.ts'), 'may not import');
});

t.test('layering: no agent imports another, but both import what they share', async (t) => {
  const scheduler = 'agents/cluster/scheduler/decide.ts';
  t.match(whyForbidden(scheduler, 'agents/cluster/deployment/decide.ts'), 'no agent');
  t.match(whyForbidden(scheduler, 'agents/node/pods/ports.ts'), 'no agent');
  t.equal(whyForbidden(scheduler, 'agents/cluster/pods.ts'), undefined);
  t.equal(whyForbidden(scheduler, 'agents/cluster/scheduler/filters.ts'), undefined);
});

t.test('layering: nothing imports what composes it', async (t) => {
  t.match(whyForbidden('src/api/verbs/get.ts', 'src/cli/main.ts'), 'composes');
  t.equal(whyForbidden('src/cli/main.ts', 'src/store/state.ts'), undefined);
});
