import t from 'tap';
import type { WatchHandle } from '../../../src/api/types.ts';
import { type Random, seededRandom } from '../../../src/lib/random.ts';
import type { KubeObject } from '../../../src/resources/types.ts';
import { configMap, type Harness, setUp } from './harness.ts';

const STEPS = 300;
const SELECTORS = ['', 'app=web', 'app!=web', 'app in (web,db)', '!app', 'app=web,n'];

type View = Map<string, string>;

/** Follows a watch into a view, and notes every revision and type on the way. */
function follow(handle: WatchHandle, view: View = new Map()) {
  const log: string[] = [];
  const done = (async () => {
    for await (const batch of handle) {
      for (const event of batch) {
        if (event.type === 'BOOKMARK' || event.type === 'ERROR') throw new Error(event.type);
        const { name } = (event.item.object as KubeObject).metadata;
        const known = view.has(name);
        if (event.type === 'ADDED' && known) throw new Error(`${name} was added twice`);
        if (event.type !== 'ADDED' && !known) throw new Error(`${name} is not there to change`);
        if (event.type === 'DELETED') view.delete(name);
        else view.set(name, event.item.bytes.toString());
        log.push(`${event.type} ${name} ${event.item.revision}`);
      }
    }
  })();
  return { view, log, done };
}

async function randomStep(harness: Harness, random: Random): Promise<void> {
  const { verbs, context, target } = harness;
  const name = `c${random.int(0, 9)}`;
  const labels: Record<string, string> = {};
  if (random.chance(0.7)) labels['app'] = random.pick(['web', 'db', 'x']);
  if (random.chance(0.5)) labels['n'] = String(random.int(0, 3));
  const where = target('configmaps', 'default', name);
  const exists = harness.store.get(`/core/configmaps/default/${name}`) !== undefined;
  if (!exists) {
    const body = configMap(name, {}, { labels });
    await verbs.create(context(), target('configmaps', 'default'), body);
  } else if (random.chance(0.25)) await verbs.delete(context(), where);
  else
    await verbs.update(
      context(),
      where,
      configMap(name, { n: String(random.float()) }, { labels }),
    );
}

t.test(
  'watch: under any selector the followed view is the list, and later watchers see the same rest',
  async (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const harness = await setUp();
      const { verbs, context, target } = harness;
      const random = seededRandom(seed);
      const abort = new AbortController();
      const where = target('configmaps', 'default');
      const live = { context: context({ signal: abort.signal }), where };
      const followers = await Promise.all(
        SELECTORS.map(async (labelSelector) => {
          const handle = await verbs.watch(live.context, where, { labelSelector });
          return { labelSelector, ...follow(handle) };
        }),
      );
      const half = [];
      for (let step = 0; step < STEPS; step++) {
        await randomStep(harness, random);
        if (step !== STEPS / 2) continue;
        const resourceVersion = String(harness.store.revision());
        for (const labelSelector of SELECTORS) {
          const options = { labelSelector, resourceVersion };
          const listed = await verbs.list(context(), where, { labelSelector });
          const view = new Map(
            listed.items.map((item) => [
              (item.object as KubeObject).metadata.name,
              item.bytes.toString(),
            ]),
          );
          const late = follow(await verbs.watch(live.context, where, options), view);
          half.push({ labelSelector, ...late });
        }
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
      for (const { labelSelector, view } of [...followers, ...half]) {
        const { items } = await verbs.list(context(), where, { labelSelector });
        const listed = items.map((item) => item.bytes.toString());
        t.strictSame([...view.values()].sort(), listed.sort(), `seed ${seed}: ${labelSelector}`);
      }
      for (const [index, { log }] of half.entries()) {
        const whole = followers[index]?.log ?? [];
        t.strictSame(
          whole.slice(whole.length - log.length),
          log,
          'the same events in the same order',
        );
      }
      abort.abort();
      await Promise.all([...followers, ...half].map(({ done }) => done));
    }
  },
);
