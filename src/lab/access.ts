/** Ways into a lab's hosts: a terminal, logs, images. */

import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import { execInHost, pathInHost } from './host.ts';
import { hostOf } from './plan.ts';
import { isAlive } from './processes.ts';
import { nameFlag, openLab, type Report } from './session.ts';

/** Runs a command on a host with this terminal; returns its exit code, as a shell would. */
export async function labExec(
  name: string,
  hostName: string,
  command: readonly string[],
): Promise<number> {
  const lab = await openLab(name);
  return execInHost(await lab.initOf(hostOf(lab.plan, hostName)), command);
}

/** Path of the file a host's Skein process logs to. Throws config-invalid while there is none. */
export async function labLogFile(name: string, hostName: string): Promise<string> {
  const { plan } = await openLab(name);
  const path = `${hostOf(plan, hostName).dir}/skein.log`;
  if (await isReadable(path)) return path;
  throw new SkeinError(
    'config-invalid',
    `host ${hostName} has no log yet: Skein was never started there; see: skein lab status${nameFlag(name)}`,
  );
}

/** Loads an image into every living host: a docker-archive file, or an image of the machine's own Docker. */
export async function labLoadImage(name: string, source: string, report: Report): Promise<void> {
  const lab = await openLab(name);
  const { default: Docker } = await import('dockerode');
  const isFile = await isReadable(source);
  const open = async (): Promise<NodeJS.ReadableStream> => {
    if (isFile) return createReadStream(source);
    try {
      return await new Docker().getImage(source).get();
    } catch (cause) {
      throw new SkeinError(
        'config-invalid',
        `"${source}" is neither a readable file nor an image of this machine's Docker`,
        { cause },
      );
    }
  };
  await Promise.all(
    lab.plan.hosts.map(async (host) => {
      const { init } = lab.processesOf(host);
      if (!init || !(await isAlive(init))) return;
      const docker = new Docker({ socketPath: pathInHost(init, '/run/docker.sock') });
      await loadArchive(docker, await open(), source);
      report(`${source} is on ${host.name}`);
    }),
  );
}

const isReadable = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

type ImageLoader = {
  loadImage(stream: NodeJS.ReadableStream): Promise<NodeJS.ReadableStream>;
};

async function loadArchive(
  docker: ImageLoader,
  stream: NodeJS.ReadableStream,
  source: string,
): Promise<void> {
  const answer = await docker.loadImage(stream);
  let text = '';
  for await (const chunk of answer) text += chunk.toString();
  const failed = /"error":"([^"]*)"/.exec(text);
  if (failed) throw new SkeinError('runtime-failed', `loading ${source}: ${failed[1]}`);
}
