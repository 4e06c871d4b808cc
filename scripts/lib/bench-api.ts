/** API throughput: 1000 ConfigMaps created, read, updated, patched, listed and deleted over 16 connections. */

import type { Row } from '../bench.ts';
import type { BenchLab } from './bench-lab.ts';
import { type LoadRequest, type LoadResult, runLoad } from './http-load.ts';

const OBJECTS = 1000;
const CONNECTIONS = 16;
const LISTS = 300;
/** Rounds before the measured one: the runtime compiles what is hot. */
const WARM_UP_ROUNDS = 2;
const PATH = '/api/v1/namespaces/default/configmaps';

export type ApiGoals = {
  readonly create?: number;
  readonly get?: number;
  readonly list?: number;
};

function configMap(name: string, value: string): string {
  const data = { value, text: 'x'.repeat(200) };
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
}

/** The verbs in the order of an object's life. */
function phases(
  round: number,
): readonly { verb: string; count: number; make: (i: number) => LoadRequest }[] {
  const name = (index: number) => `bench-${round}-${index % OBJECTS}`;
  return [
    {
      verb: 'create',
      count: OBJECTS,
      make: (i) => ({ method: 'POST', path: PATH, body: configMap(name(i), 'new') }),
    },
    {
      verb: 'get',
      count: OBJECTS * 3,
      make: (i) => ({ method: 'GET', path: `${PATH}/${name(i)}` }),
    },
    {
      verb: 'update',
      count: OBJECTS,
      make: (i) => ({
        method: 'PUT',
        path: `${PATH}/${name(i)}`,
        body: configMap(name(i), 'updated'),
      }),
    },
    {
      verb: 'patch',
      count: OBJECTS,
      make: (i) => ({
        method: 'PATCH',
        path: `${PATH}/${name(i)}`,
        contentType: 'application/merge-patch+json',
        body: '{"data":{"value":"patched"}}',
      }),
    },
    { verb: 'list', count: LISTS, make: () => ({ method: 'GET', path: PATH }) },
    {
      verb: 'delete',
      count: OBJECTS,
      make: (i) => ({ method: 'DELETE', path: `${PATH}/${name(i)}` }),
    },
  ];
}

/** One row per verb. Throws when any request was refused. */
export async function benchApi(lab: BenchLab, where: string, goals: ApiGoals): Promise<Row[]> {
  const target = lab.target(0);
  let results = new Map<string, LoadResult>();
  for (let round = 0; round <= WARM_UP_ROUNDS; round++) {
    results = new Map();
    for (const { verb, count, make } of phases(round)) {
      const result = await runLoad(target, { connections: CONNECTIONS, count }, make);
      if (Object.keys(result.refused).length > 0) {
        throw new Error(`${verb} on ${where}: refused ${JSON.stringify(result.refused)}`);
      }
      results.set(verb, result);
    }
  }
  return [...results].map(([verb, { perSecond, p50Ms, p99Ms }]) => {
    const goal = goals[verb as keyof ApiGoals];
    const what = verb === 'list' ? `list of ${OBJECTS}` : verb;
    return {
      what: `${what}, ${where}, ${CONNECTIONS} connections`,
      measured: `${perSecond.toFixed(0)}/s (p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms)`,
      goal: goal === undefined ? 'no goal' : `${goal}/s`,
    };
  });
}
