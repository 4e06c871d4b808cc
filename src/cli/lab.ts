/** `skein lab ...`: the lab for developers and chaos testers. */

import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { DISK_CONDITIONS, describeDisk, parseDiskCondition } from '../lab/disk-condition.ts';
import type { HostFaults, LabStatus } from '../lab/index.ts';
import { oneOf, percent, seconds, wholeNumber } from './arguments.ts';
import { addChaosCommand } from './lab-chaos.ts';
import { formatTable } from './table.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sayProgress = (line: string): void => void process.stderr.write(`${line}\n`);
const outputFormat = oneOf('text', 'json');
const LOG_LINES_SHOWN = 200;

type Named = { readonly name: string };

/** Loads the lab's code only when a lab command runs. */
const load = () => import('../lab/index.ts');

/** Adds `skein lab` and its subcommands. */
export function addLabCommands(program: Command): void {
  const lab = program
    .command('lab')
    .description(
      'Real hosts on one machine (network namespaces with their own Docker) to develop and to break things.',
    )
    .addHelpText(
      'after',
      '\nEnvironment:\n  SKEIN_LAB_DIR  where labs are kept (default: /var/lib/skein-lab)',
    )
    .enablePositionalOptions();
  addLifeCommands(lab);
  addFaultCommands(lab);
  addAccessCommands(lab);
  addChaosCommand(lab);
}

/** A subcommand with the --name option all of them share. */
function sub(lab: Command, usage: string, description: string): Command {
  return lab
    .command(usage)
    .description(description)
    .option('--name <name>', 'which lab: 1 to 12 lower-case letters, digits and dashes', 'lab');
}

function addLifeCommands(lab: Command): void {
  type Up = Named & { nodes: number; flag?: string[]; stockDocker?: boolean; faults?: boolean };
  sub(lab, 'up', 'start a lab, or complete one; prints where the kubeconfig is')
    .option('--nodes <n>', 'number of hosts, 1 to 50', wholeNumber, 3)
    .option(
      '--flag <flag...>',
      'further flags for `skein up` on every host, e.g. --flag=--log-level=debug',
    )
    .option('--stock-docker', 'run Docker as Debian installs it: with its bridge and firewall')
    .option(
      '--faults',
      'make disks and clocks that `lab disk` and `lab clock` can break; needs gcc',
    )
    .action(async ({ name, nodes, flag, stockDocker, faults }: Up) => {
      const { labUp } = await load();
      const kubeconfig = await labUp({
        name,
        nodes,
        report: sayProgress,
        docker: stockDocker ? 'stock' : 'bare',
        faults: faults === true,
        ...(flag ? { flags: flag } : {}),
      });
      say(`export KUBECONFIG=${kubeconfig}`);
    });
  sub(lab, 'down', 'end a lab and remove every trace of it').action(async ({ name }: Named) => {
    await (await load()).labDown(name, sayProgress);
  });
  sub(lab, 'status', 'what runs on each host, and what it says of the cluster')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async ({ name, output }: Named & { output: string }) => {
      const status = await (await load()).labStatus(name);
      say(output === 'json' ? JSON.stringify(status, null, 2) : describeLab(status));
    });
  sub(lab, 'start <host>', 'start what does not run of a host: the host itself, Docker, Skein')
    .option('--flag <flag...>', 'further flags for this start of `skein up`')
    .action(async (host: string, { name, flag }: Named & { flag?: string[] }) => {
      const { labStart } = await load();
      await labStart({ name, host, ...(flag ? { flags: flag } : {}) });
    });
  sub(lab, 'stop <host>', "end a host's Skein process in good order (SIGTERM)").action(
    async (host: string, { name }: Named) => {
      await (await load()).labStop(name, host);
    },
  );
}

/** `skein lab status` for people. */
export function describeLab(status: LabStatus): string {
  const state = (up: boolean) => (up ? 'up' : 'down');
  const rows = status.hosts.map(({ host, address, up, dockerd, skein, status: node }) => [
    host,
    address,
    state(up),
    state(dockerd),
    state(skein),
    node?.role,
    node?.term,
    node?.revision,
    node?.leader?.node,
  ]);
  const header = ['HOST', 'ADDRESS', 'MACHINE', 'DOCKER', 'SKEIN'];
  return [
    formatTable([...header, 'ROLE', 'TERM', 'REVISION', 'LEADER'], rows),
    ...status.cuts.map(([a, b]) => `cut: ${a} - ${b}`),
    ...status.oneWayCuts.map(([from, to]) => `cut: ${from} > ${to}, one way`),
    ...status.delays.map(
      ({ a, b, delayMs, lossPercent }) =>
        `delay: ${a} - ${b}: ${delayMs} ms, ${lossPercent} % lost`,
    ),
    ...status.hosts.flatMap(({ host, faults }) => describeFaults(host, faults)),
    `kubeconfig: ${status.kubeconfig}`,
  ].join('\n');
}

/** A line for a disk and a line for a clock that is wrong. */
function describeFaults(host: string, { disk, clockOffsetMs }: HostFaults): string[] {
  const calls = describeDisk(disk);
  const way = clockOffsetMs > 0 ? 'ahead' : 'behind';
  return [
    ...(calls === '' ? [] : [`disk: ${host}: ${calls}`]),
    ...(clockOffsetMs === 0 ? [] : [`clock: ${host}: ${Math.abs(clockOffsetMs)} ms ${way}`]),
  ];
}

function addFaultCommands(lab: Command): void {
  sub(lab, 'kill <host|leader>', "SIGKILL a host's Skein process; prints the host's name")
    .option(
      '--whole-host',
      'everything on the host instead, containers included; its link goes dead',
    )
    .action(async (host: string, options: Named & { wholeHost?: boolean }) => {
      const { describeLoss, labKill } = await load();
      const { name, wholeHost = false } = options;
      const killed = await labKill({ name, host, wholeHost });
      say(killed.host);
      if (killed.lost) sayProgress(describeLoss(killed.lost));
    });
  addHostFaultCommands(lab);
  sub(lab, 'cut <a> <b>', 'cut the link between two hosts')
    .option('--one-way', 'drop only what <a> sends to <b>')
    .action(async (a: string, b: string, { name, oneWay }: Named & { oneWay?: boolean }) => {
      await (await load()).labCut(name, [a, b], { oneWay: oneWay === true });
    });
  sub(lab, 'isolate <host>', 'cut a host off from all others').action(
    async (host: string, { name }: Named) => {
      await (await load()).labIsolate(name, host);
    },
  );
  sub(lab, 'heal', 'end every fault that lasts: cuts, slow links, pauses, disks, clocks').action(
    async ({ name }: Named) => {
      await (await load()).labHeal(name);
    },
  );
  lab
    .command('delay')
    .description('slow the link between two hosts down, each way; 0 ends it')
    .argument('<a>')
    .argument('<b>')
    .argument('<ms>', 'milliseconds', wholeNumber)
    .option('--name <name>', 'which lab', 'lab')
    .option('--loss <percent>', 'share of frames lost', percent, 0)
    .action(async (a: string, b: string, delayMs: number, options: Named & { loss: number }) => {
      const { labDelay } = await load();
      await labDelay(options.name, { a, b, delayMs, lossPercent: options.loss });
    });
  sub(
    lab,
    'readdress <host> <address>',
    'give a host another address of the lab, as a new lease would; then stop and start its Skein',
  ).action(async (host: string, address: string, { name }: Named) => {
    await (await load()).labReaddress(name, host, address);
  });
}

/** Faults of a process, a disk, a clock. */
function addHostFaultCommands(lab: Command): void {
  sub(
    lab,
    'pause <host|leader>',
    "stop a host's Skein process in its tracks (SIGSTOP); prints the host's name",
  ).action(async (host: string, { name }: Named) => {
    say(await (await load()).labPause(name, host));
  });
  sub(lab, 'resume <host>', 'let a process that was paused go on').action(
    async (host: string, { name }: Named) => {
      await (await load()).labResume(name, host);
    },
  );
  sub(
    lab,
    'disk <host|leader> <condition>',
    `make a host's disk ${DISK_CONDITIONS}; prints the host's name`,
  ).action(async (host: string, condition: string, { name }: Named) => {
    const { labDisk } = await load();
    say(await labDisk(name, host, parseDiskCondition(condition)));
  });
  sub(
    lab,
    'clock <host|leader> <duration>',
    "set a host's wall clock ahead, e.g. by 1h or 90s; 0 sets it right; prints the host's name",
  )
    .option('--behind', 'behind instead')
    .action(async (host: string, text: string, options: Named & { behind?: boolean }) => {
      const offsetMs = seconds(text) * (options.behind ? -1000 : 1000);
      say(await (await load()).labClock(options.name, host, offsetMs));
    });
}

function addAccessCommands(lab: Command): void {
  sub(
    lab,
    'kubeconfig',
    'print a kubeconfig with a context per host; also written to a file, whose path is told',
  ).action(async ({ name }: Named) => {
    const { text, path } = await (await load()).labKubeconfig(name);
    process.stdout.write(text);
    sayProgress(`written to ${path}`); // Not to standard output: that may go to a file.
  });
  sub(
    lab,
    'load-image <archive|image>',
    'put a docker-archive file, or a local image, on every host',
  ).action(async (source: string, { name }: Named) => {
    await (await load()).labLoadImage(name, source, sayProgress);
  });
  sub(
    lab,
    'exec <host> [command...]',
    "run a command on a host (default: a shell), with this terminal and the command's exit code",
  )
    .passThroughOptions()
    .action(async (host: string, command: string[], { name }: Named) => {
      // What follows the host belongs to the command, a separating -- excepted.
      const [first, ...rest] = command;
      process.exitCode = await (await load()).labExec(name, host, first === '--' ? rest : command);
    });
  sub(lab, 'logs <host>', "the log of a host's Skein process")
    .option('-f, --follow', `print the last ${LOG_LINES_SHOWN} lines and keep printing`)
    .action(async (host: string, options: Named & { follow?: boolean }) => {
      const file = await (await load()).labLogFile(options.name, host);
      const args = options.follow ? ['-n', String(LOG_LINES_SHOWN), '-F'] : ['-n', '+1'];
      const tail = spawn('tail', [...args, file], { stdio: 'inherit' });
      process.exitCode = await new Promise<number>((resolve, reject) => {
        tail.once('error', reject);
        tail.once('exit', (code) => resolve(code ?? 0));
      });
    });
}
