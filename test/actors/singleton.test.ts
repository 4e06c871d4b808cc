import t from 'tap';
import {
  createSingletonHost,
  type LeadershipChange,
  singletonPath,
} from '../../src/actors/singleton.ts';
import type { LeadershipScope } from '../../src/actors/types.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { createWorld, pass, scripted, settle, type World } from './support.ts';

type Stage = World & {
  readonly change: (kind: LeadershipChange['kind'], term: number) => void;
  readonly host: ReturnType<typeof createSingletonHost>;
  /** Terms of the singleton that is alive now. */
  readonly alive: Set<number>;
  readonly log: string[];
};

type Claim = (term: number, signal: AbortSignal) => Promise<void>;

function createStage(t: Parameters<typeof createWorld>[0], claim: Claim = async () => {}): Stage {
  const world = createWorld(t);
  const log: string[] = [];
  const alive = new Set<number>();
  let listener: (change: LeadershipChange) => void = () => {};
  const host = createSingletonHost({
    system: world.system,
    clock: world.clock,
    random: seededRandom(1),
    logger: silentLogger,
    onLeadership: (given) => {
      listener = given;
      return () => {
        listener = () => {};
      };
    },
    claimFence: async (_fence, term, signal) => {
      log.push(`claim ${term}`);
      await claim(term, signal);
      log.push(`claimed ${term}`);
    },
  });
  host.register('x', (scope: LeadershipScope) =>
    scripted({
      init() {
        log.push(`start ${scope.term}${scope.signal.aborted ? ' too late' : ''}`);
        alive.add(scope.term);
        return undefined;
      },
      dispose() {
        log.push(`stop ${scope.term}${scope.signal.aborted ? '' : ' without the signal'}`);
        alive.delete(scope.term);
      },
    }),
  );
  const change: Stage['change'] = (kind, term) => listener({ kind, term });
  return { ...world, change, host, alive, log };
}

t.test('singleton: leadership claims the fence, then starts; its end stops', async (t) => {
  const { system, change, host, alive, log } = createStage(t);
  t.strictSame(log, []);
  change('gained', 3);
  t.strictSame([...alive], [], 'not before the fence');
  await settle();
  t.strictSame(log, ['claim 3', 'claimed 3', 'start 3']);
  t.equal(host.scope()?.term, 3);
  t.equal(
    system.resolve(singletonPath('n1', 'x')).tell(() => {}),
    'queued',
  );
  change('lost', 3);
  t.equal(host.scope(), undefined, 'at once');
  await settle();
  t.strictSame(log.slice(3), ['stop 3']);
});

t.test('singleton: a loss during the claim starts nothing', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { change, log } = createStage(t, () => gate.promise);
  change('gained', 3);
  await settle();
  change('lost', 3);
  gate.resolve();
  await settle();
  t.strictSame(log, ['claim 3', 'claimed 3']);
});

t.test('singleton: a claim that fails is repeated; a fenced one is given up', async (t) => {
  let tries = 0;
  const { change, clock, log } = createStage(t, async (term) => {
    if (term === 9) throw new SkeinError('fenced', 'term 10 holds it');
    if (++tries < 3) throw new SkeinError('no-leader', 'no quorum');
  });
  change('gained', 3);
  await pass(clock, 500);
  t.strictSame(log, ['claim 3', 'claim 3', 'claim 3', 'claimed 3', 'start 3']);
  change('gained', 9);
  await pass(clock, 5000);
  t.strictSame(log.slice(5), ['stop 3', 'claim 9']);
  change('lost', 9);
  change('gained', 11);
  await pass(clock, 500);
  t.strictSame(log.slice(7), ['claim 11', 'claimed 11', 'start 11']);
});

t.test('singleton: one that fails is restarted alone, with its own scope', async (t) => {
  const { system, clock, change, host, log } = createStage(t);
  let others = 0;
  host.register('other', () => scripted({ init: () => void others++ as undefined }));
  host.register('broken', () => {
    throw new Error('cannot be made');
  });
  change('gained', 4);
  await settle();
  for (let n = 0; n < 30; n++) {
    system.resolve(singletonPath('n1', 'x')).tell((() => {
      throw new Error('bug');
    }) as never);
    await pass(clock, 12_000, 1000);
  }
  t.equal(log.filter((line) => line === 'start 4').length, 31);
  t.equal(others, 1);
  t.equal(system.tree().children[0]?.restarts, 0, 'the supervisor is untouched');
});

t.test('singleton: one registered late starts in the running scope', async (t) => {
  const { change, host } = createStage(t);
  change('gained', 4);
  await settle();
  const terms: number[] = [];
  host.register('late', ({ term }) => scripted({ init: () => void terms.push(term) as undefined }));
  await settle();
  t.strictSame(terms, [4]);
});

t.test('singleton: a standby warms up, until the host stops', async (t) => {
  const { host } = createStage(t);
  let warm: AbortSignal | undefined;
  const warmUp = (signal: AbortSignal): void => {
    warm = signal;
  };
  host.register('warm', () => scripted(), { warmUp });
  t.equal(warm?.aborted, false);
  await host.stop();
  t.equal(warm?.aborted, true);
});

t.test(
  'singleton: any interleaving of gains and losses leaves at most one, and the right one',
  async (t) => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const sleepy: Claim = async () => {
        for (let left = random.int(0, 6); left > 0; left--) await Promise.resolve();
        if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
        if (random.chance(0.2)) throw new SkeinError('no-leader', 'no quorum');
      };
      const { clock, change, alive, log, host } = createStage(t, sleepy);
      let term = 0;
      let leading = false;
      for (let step = 0; step < 30; step++) {
        if (leading && random.chance(0.6)) {
          change('lost', term);
          leading = false;
        } else if (random.chance(0.2)) {
          change('lost', random.int(0, Math.max(0, term - 1)));
        } else {
          // A gain without the loss of the former term in between also happens.
          term += random.int(1, 3);
          leading = true;
          change('gained', term);
        }
        const pace = random.int(0, 3);
        if (pace > 1) await settle();
        else if (pace === 1) await Promise.resolve();
        if (alive.size > 1) t.fail(`seed ${seed}: ${[...alive]} alive together`);
      }
      await pass(clock, 20_000, 1000);
      const wanted = leading ? [term] : [];
      if ([...alive].join() !== wanted.join()) {
        t.fail(`seed ${seed}: ${[...alive]} alive, not ${wanted}`);
      }
      checkHistory(t, seed, log);
      await host.stop();
      if (alive.size > 0) t.fail(`seed ${seed}: alive after the host stopped`);
    }
    t.pass('150 histories');
  },
);

function checkHistory(
  t: { fail(message: string): unknown },
  seed: number,
  log: readonly string[],
): void {
  let running: string | undefined;
  let newest = 0;
  for (const [index, line] of log.entries()) {
    const [word = '', term = '', ...rest] = line.split(' ');
    if (rest.length > 0) t.fail(`seed ${seed}: ${line}`);
    if (word === 'start') {
      if (running !== undefined) t.fail(`seed ${seed}: ${term} starts while ${running} runs`);
      if (!log.slice(0, index).includes(`claimed ${term}`)) t.fail(`seed ${seed}: no fence`);
      if (Number(term) <= newest) t.fail(`seed ${seed}: ${term} starts after ${newest}`);
      running = term;
      newest = Number(term);
    } else if (word === 'stop') {
      if (running !== term) t.fail(`seed ${seed}: ${term} stops while ${running} runs`);
      running = undefined;
    }
  }
}
