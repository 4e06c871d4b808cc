/** `skein lab ...`: the lab for developers and chaos testers. */

import { spawn } from 'node:child_process';
import { type Command, InvalidArgumentError } from 'commander';
import { formatTable } from './table.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sayProgress = (line: string): void => void process.stderr.write(`${line}\n`);

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError('must be a whole number of at least 0');
  }
  return value;
}

function percent(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 100)) throw new InvalidArgumentError('must lie between 0 and 100');
  return value;
}

type Named = { readonly name: string };

/** Loads the lab's code only when a lab command runs. */
const load = () => import('../lab/lab.ts');

export function addLabCommands(program: Command): void {
  const lab = program
    .command('lab')
    .description(
      'Real hosts on one machine (network namespaces with their own Docker) to develop and to break things.',
    );
  addLifeCommands(lab);
  addFaultCommands(lab);
  addAccessCommands(lab);
}

/** A subcommand with the --name option all of them share. */
function sub(lab: Command, usage: string, description: string): Command {
  return lab.command(usage).description(description).option('--name <name>', 'which lab', 'lab');
}

function addLifeCommands(lab: Command): void {
  sub(lab, 'up', 'start a lab, or complete one; prints where the kubeconfig is')
    .option('--nodes <n>', 'number of hosts', wholeNumber, 3)
    .option(
      '--flag <flag...>',
      'further flags for `skein up` on every host, e.g. --flag=--log-level=debug',
    )
    .action(async (options: Named & { nodes: number; flag?: string[] }) => {
      const { labUp } = await load();
      const { name, nodes, flag } = options;
      const kubeconfig = await labUp({
        name,
        nodes,
        report: sayProgress,
        ...(flag ? { flags: flag } : {}),
      });
      say(`export KUBECONFIG=${kubeconfig}`);
    });
  sub(lab, 'down', 'end a lab and remove every trace of it').action(async ({ name }: Named) => {
    await (await load()).labDown(name, sayProgress);
  });
  sub(lab, 'status', 'what runs on each host, and what it says of the cluster')
    .option('-o, --output <format>', 'text or json', 'text')
    .action(async ({ name, output }: Named & { output: string }) => {
      const status = await (await load()).labStatus(name);
      if (output === 'json') return say(JSON.stringify(status, null, 2));
      const rows = status.hosts.map((host) => [
        host.host,
        host.address,
        host.up ? 'up' : 'down',
        host.dockerd ? 'up' : 'down',
        host.skein ? 'up' : 'down',
        host.status?.role,
        host.status?.term,
        host.status?.revision,
        host.status?.leader?.node,
      ]);
      say(
        formatTable(
          ['HOST', 'ADDRESS', 'MACHINE', 'DOCKER', 'SKEIN', 'ROLE', 'TERM', 'REVISION', 'LEADER'],
          rows,
        ),
      );
      for (const [a, b] of status.cuts) say(`cut: ${a} - ${b}`);
      for (const { a, b, delayMs, lossPercent } of status.delays) {
        say(`delay: ${a} - ${b}: ${delayMs} ms, ${lossPercent} % lost`);
      }
      say(`kubeconfig: ${status.kubeconfig}`);
    });
  sub(
    lab,
    'start <host>',
    'start what does not run of a host: the host itself, Docker, Skein',
  ).action(async (host: string, { name }: Named) => {
    await (await load()).labStart(name, host);
  });
  sub(lab, 'stop <host>', "end a host's Skein process in good order (SIGTERM)").action(
    async (host: string, { name }: Named) => {
      await (await load()).labStop(name, host);
    },
  );
}

function addFaultCommands(lab: Command): void {
  sub(lab, 'kill <host|leader>', "SIGKILL a host's Skein process")
    .option(
      '--whole-host',
      'everything on the host instead, containers included; its link goes dead',
    )
    .action(async (host: string, options: Named & { wholeHost?: boolean }) => {
      const { labKill } = await load();
      const killed = await labKill({
        name: options.name,
        host,
        wholeHost: options.wholeHost ?? false,
      });
      say(killed);
    });
  sub(lab, 'cut <a> <b>', 'cut the link between two hosts').action(
    async (a: string, b: string, { name }: Named) => {
      await (await load()).labCut(name, a, b);
    },
  );
  sub(lab, 'isolate <host>', 'cut a host off from all others').action(
    async (host: string, { name }: Named) => {
      await (await load()).labIsolate(name, host);
    },
  );
  sub(lab, 'heal', 'mend every cut and every slow link').action(async ({ name }: Named) => {
    await (await load()).labHeal(name);
  });
  sub(lab, 'delay <a> <b> <ms>', 'slow the link between two hosts down, each way')
    .option('--loss <percent>', 'share of frames lost', percent, 0)
    .action(async (a: string, b: string, ms: string, options: Named & { loss: number }) => {
      const { labDelay } = await load();
      await labDelay(options.name, {
        a,
        b,
        delayMs: wholeNumber(ms),
        lossPercent: options.loss,
      });
    });
}

function addAccessCommands(lab: Command): void {
  sub(
    lab,
    'kubeconfig',
    'print a kubeconfig with a context per host, and write it to a file',
  ).action(async ({ name }: Named) => {
    process.stdout.write(await (await load()).labKubeconfig(name));
  });
  sub(
    lab,
    'load-image <archive|image>',
    'put a docker-archive file, or a local image, on every host',
  ).action(async (source: string, { name }: Named) => {
    await (await load()).labLoadImage(name, source, sayProgress);
  });
  sub(lab, 'exec <host> <command...>', 'run a command on a host: skein lab exec node1 -- ip addr')
    .action(async (host: string, command: string[], { name }: Named) => {
      process.exitCode = await (await load()).labExec(name, host, command);
    });
  sub(lab, 'logs <host>', "the log of a host's Skein process")
    .option('-f, --follow', 'keep printing')
    .action(async (host: string, options: Named & { follow?: boolean }) => {
      const file = await (await load()).labLogFile(options.name, host);
      const args = options.follow ? ['-n', '200', '-F', file] : ['-n', '+1', file];
      const tail = spawn('tail', args, { stdio: 'inherit' });
      await new Promise((resolve) => tail.once('exit', resolve));
    });
}
