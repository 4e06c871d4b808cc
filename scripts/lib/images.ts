/**
 * Small images made from Debian's static busybox, because there is no registry: the images that the demo
 * and the end-to-end tests run, under the names that the manifests of 2015 to 2017 use.
 */

import { readFile } from 'node:fs/promises';
import { buildImageArchive, type ImageSpec } from '../../src/lab/image-archive.ts';

const BUSYBOX_PATHS = ['/bin/busybox', '/usr/bin/busybox'];

/**
 * An HTTP server that says who it is. On SIGTERM it goes on serving for a moment, as a well-behaved server
 * does: the news that it is leaving takes time to reach every node.
 */
function webServer(port: number, greeting: string): string {
  return `#!/bin/sh
mkdir -p /tmp/www
echo "${greeting} from $(hostname)" > /tmp/www/index.html
httpd -f -p ${port} -h /tmp/www &
trap 'sleep 2; exit 0' TERM
wait
`;
}

/** Answers every line with +PONG, as much of Redis as a liveness test needs. */
const REDIS = `#!/bin/sh
echo '#!/bin/sh
while read -r line; do echo "+PONG"; done' > /tmp/pong
chmod +x /tmp/pong
trap 'exit 0' TERM
nc -ll -p 6379 -e /tmp/pong &
wait
`;

const APPLETS = [
  'sh',
  'ls',
  'cat',
  'echo',
  'sleep',
  'hostname',
  'httpd',
  'nc',
  'wget',
  'mkdir',
  'env',
  'id',
  'ps',
  'touch',
  'rm',
  'test',
  'true',
  'false',
  'date',
  'head',
  'tail',
  'grep',
  'sed',
  'awk',
  'seq',
  'kill',
  'chmod',
  'dd',
  'ip',
  'ping',
  'nslookup',
  'mount',
  'df',
  'stat',
  'tee',
  'tr',
  'wc',
  'sort',
  'timeout',
  'pwd',
  'readlink',
  'yes',
  'stty',
  'tty',
  // kubectl cp runs it in the container.
  'tar',
  'cp',
];

type ImageOptions = {
  /** The program it runs, installed as /bin/serve. Default: a shell. */
  readonly script?: string;
  /** TCP ports the image declares. */
  readonly ports?: readonly number[];
};

/** An image named `reference` that holds busybox and, where given, a program. */
function image(reference: string, busybox: Uint8Array, options: ImageOptions = {}): ImageSpec {
  const { script, ports = [] } = options;
  return {
    reference,
    directories: ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root'],
    files: [
      { path: 'bin/busybox', content: busybox, mode: 0o755 },
      {
        path: 'etc/passwd',
        content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
      },
      { path: 'etc/group', content: 'root:x:0:\nnobody:x:65534:\n' },
      ...(script === undefined ? [] : [{ path: 'bin/serve', content: script, mode: 0o755 }]),
    ],
    links: APPLETS.map((name) => ({ path: `bin/${name}`, target: 'busybox' })),
    command: [script === undefined ? '/bin/sh' : '/bin/serve'],
    ports,
  };
}

/** The bytes of a static busybox. Throws when none is installed. */
async function readBusybox(): Promise<Uint8Array> {
  for (const path of BUSYBOX_PATHS) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes) return bytes;
  }
  throw new Error('no busybox at /bin/busybox; install it with: apt-get install busybox-static');
}

/** A docker-archive with every image the demo and the tests use. */
export async function buildImages(): Promise<Buffer> {
  const busybox = await readBusybox();
  const web = (name: string, port: number, greeting = `hello, I am ${name.split(':')[0]}`) =>
    image(name, busybox, { script: webServer(port, greeting), ports: [port] });
  return buildImageArchive([
    image('busybox:latest', busybox),
    web('k8s-demo:latest', 3000),
    web('k8s-demo:v2', 3000, 'hello, I am k8s-demo version 2'),
    web('django:latest', 8080),
    web('nginx:latest', 80),
    web('skein-demo:1', 8080, 'a flock in flight, seen'),
    image('redis:latest', busybox, { script: REDIS, ports: [6379] }),
  ]);
}
