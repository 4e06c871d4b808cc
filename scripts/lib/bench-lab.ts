/** A lab for measurements: brought up fresh, images loaded, its API reached with the administrator's certificate. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parse } from 'yaml';
import { labDown, labLoadImage, labUp } from '../../src/lab/index.ts';
import { planOf, readState } from '../../src/lab/state.ts';
import type { LoadTarget } from './http-load.ts';
import { buildImages } from './images.ts';

export type BenchLab = {
  readonly name: string;
  readonly kubeconfig: string;
  /** The API of host `index` (0 is node1). */
  target(index: number): LoadTarget;
  /** Pid, seen from the machine, of a host's Skein process. */
  skeinPid(host: string): Promise<number>;
  initPid(host: string): Promise<number>;
  end(): Promise<void>;
};

type Kubeconfig = {
  readonly clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  readonly users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
};

const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');

/** Starts lab `name` with `nodes` hosts; an old one of that name goes down first. */
export async function startBenchLab(name: string, nodes: number): Promise<BenchLab> {
  const report = () => {};
  await labDown(name, report);
  const kubeconfig = await labUp({ name, nodes, report, flags: ['--log-level=warn'] });
  const directory = await mkdtemp(`${tmpdir()}/skein-bench-`);
  await writeFile(`${directory}/images.tar`, await buildImages());
  await labLoadImage(name, `${directory}/images.tar`, report);
  await rm(directory, { recursive: true });
  const config = parse(await readFile(kubeconfig, 'utf8')) as Kubeconfig;
  const user = config.users[0]?.user;
  const stateOf = async () => {
    const state = await readState(name);
    if (!state) throw new Error(`lab ${name} is gone`);
    return state;
  };
  const plan = planOf(name, await stateOf());
  return {
    name,
    kubeconfig,
    target(position) {
      const host = plan.hosts[position];
      const cluster = config.clusters[position]?.cluster;
      if (!host || !cluster || !user) throw new Error(`lab ${name} has no host ${position}`);
      return {
        host: host.address,
        port: Number(new URL(cluster.server).port),
        ca: decode(cluster['certificate-authority-data']),
        cert: decode(user['client-certificate-data']),
        key: decode(user['client-key-data']),
      };
    },
    skeinPid: async (host) => (await stateOf()).hosts[host]?.skein?.pid ?? 0,
    initPid: async (host) => (await stateOf()).hosts[host]?.init?.pid ?? 0,
    end: () => labDown(name, report),
  };
}
