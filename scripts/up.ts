/**
 * Ends with a lab cluster that runs a demo application: three replicas of a small web server behind a Service
 * with a node port. Says what to try next.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { labLoadImage, labStatus, labUp } from '../src/lab/index.ts';
import { runCommand } from '../src/lib/command.ts';
import { messageOf } from '../src/lib/errors.ts';
import { buildImages } from './lib/images.ts';

const HELP = `scripts/up [--nodes N] [--name LAB]
  starts a lab of N hosts (default 3) with a demo application; run it again at any time`;

const NODE_PORT = 30080;
const READY_SECONDS = 120;

const DEMO = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: demo
spec:
  replicas: 3
  selector:
    matchLabels: { app: demo }
  template:
    metadata:
      labels: { app: demo }
    spec:
      containers:
      - name: web
        image: skein-demo:1
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet: { path: /, port: 8080 }
          periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: demo
spec:
  type: NodePort
  selector: { app: demo }
  ports:
  - port: 80
    targetPort: 8080
    nodePort: ${NODE_PORT}
`;

const say = (line: string): void => console.log(line);

async function loadImages(name: string): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/skein-images-`);
  try {
    const archive = `${directory}/images.tar`;
    await writeFile(archive, await buildImages());
    await labLoadImage(name, archive, () => {});
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The arguments; rejects what is none. */
function readArguments() {
  return parseArgs({
    options: {
      name: { type: 'string', default: 'lab' },
      nodes: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  }).values;
}

async function up(name: string, nodes: number): Promise<void> {
  say(`starting a lab of ${nodes} hosts`);
  const kubeconfig = await labUp({ name, nodes, report: (line) => say(`  ${line}`) });
  say('loading images (there is no registry in a lab)');
  await loadImages(name);
  say('applying the demo application');
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const kubectl = (args: string[], input = '') =>
    runCommand('kubectl', args, { env, input, deadlineMs: (READY_SECONDS + 10) * 1000 });
  await kubectl(['apply', '-f', '-'], DEMO);
  await kubectl(['rollout', 'status', 'deployment/demo', `--timeout=${READY_SECONDS}s`]);
  const address = (await labStatus(name)).hosts[0]?.address;
  say('');
  say(await kubectl(['get', 'nodes,deployments,pods,services', '-o', 'wide']));
  const lab = name === 'lab' ? '' : ` --name ${name}`;
  const skein = new URL('./skein', import.meta.url).pathname;
  say(`The cluster is up. Try:
  export KUBECONFIG=${kubeconfig}
  kubectl get pods -o wide
  curl http://${address}:${NODE_PORT}/
  ${skein} lab kill leader${lab}     # and go on: kubectl --context node2 get nodes
  ${skein} lab status${lab}
  ${skein} lab down${lab}`);
}

try {
  const { help, name, nodes } = readArguments();
  if (help) say(HELP);
  else await up(name, Number(nodes));
} catch (error) {
  console.error(`scripts/up: ${messageOf(error)}`);
  process.exitCode = 1;
}
