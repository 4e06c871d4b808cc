/** `skein verify` and `recover`: what to do when data or a majority is gone. */

import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { SkeinError } from '../lib/errors.ts';
import { oneOf } from './arguments.ts';
import { verifyBackupFile } from './backup-commands.ts';
import { DEFAULT_DATA_DIR } from './control-client.ts';
import { describeDataDir, describePlan } from './describe-recovery.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sayProgress = (line: string): void => void process.stderr.write(`${line}\n`);
const outputFormat = oneOf('text', 'json');

/** Adds the commands of recovery. */
export function addRecoveryCommands(program: Command): void {
  addVerify(program);
  addRecover(program);
}

function addVerify(program: Command): void {
  program
    .command('verify <data-dir-or-backup>')
    .description(
      "check a stopped node's log and snapshot, or a backup file, without changing anything: what is in them, what is torn (harmless) or damaged (where, and what to do)",
    )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText('after', '\nExit code: 0 intact, 1 damaged.')
    .action(async (path: string, { output }: { output: string }) => {
      const entry = await stat(path).catch((cause: unknown) => {
        throw new SkeinError('config-invalid', `there is no ${path}`, { cause });
      });
      if (entry.isFile()) return verifyBackupFile(path, output);
      const { verifyDataDir } = await import('../node/recovery/verify.ts');
      const report = await verifyDataDir(path);
      say(output === 'json' ? JSON.stringify(report, null, 2) : describeDataDir(report));
      if (!report.intact) process.exitCode = 1;
    });
}

type RecoverFlags = {
  readonly dataDir: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly output: string;
};

const STEPS = {
  read: 'reading the log and applying all of it',
  write: 'writing the new log beside the old one',
  check: 'reading back what was written',
  keep: 'keeping a copy of cluster.json',
  commit: 'making it the log of this node',
  'set-aside': 'setting the old log aside',
} as const;

function addRecover(program: Command): void {
  program
    .command('recover')
    .description(
      'when a majority is lost for good: make this stopped node the only member of a new cluster with everything its log holds; the others must join anew',
    )
    .option(
      '--data-dir <path>',
      "the node's data directory [SKEIN_DATA_DIR]",
      process.env['SKEIN_DATA_DIR'] || DEFAULT_DATA_DIR,
    )
    .option('--dry-run', 'only show how new the log is and what would be done')
    .option('--yes', 'yes, the others are lost for good')
    .option('--force', 'although a majority of the voters answers')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async ({ dataDir, dryRun, yes, force, output }: RecoverFlags) => {
      const { planRecovery, recoverNode } = await import('../node/recovery/recover.ts');
      const { livingMembers } = await import('../node/recovery/living-members.ts');
      const plan = await planRecovery(dataDir);
      const living = await livingMembers(plan.others);
      const answering = living.map(({ node }) => node);
      const json = output === 'json';
      if (!json) say(describePlan(plan, answering));
      if (dryRun) {
        if (json) say(JSON.stringify({ ...plan, answering }, null, 2));
        return;
      }
      const voters = plan.standing.voters.length;
      const reachable =
        living.filter(({ votes }) => votes).length +
        (plan.standing.voters.includes(plan.peer) ? 1 : 0);
      if (reachable > voters / 2 && !force) {
        const who =
          living.length === 0
            ? 'this node alone is'
            : `${answering.join(', ')} answered: with this node that is`;
        throw new SkeinError(
          'config-invalid',
          `${who} a majority of the ${voters} voters, and nothing is lost for good. Start this node (skein up); --force recovers all the same`,
        );
      }
      if (!yes) {
        throw new SkeinError(
          'config-invalid',
          'nothing was changed. What the others acknowledged and this node never received will be lost, and they can only join anew: repeat with --yes, on the survivor with the newest log',
        );
      }
      const { clusterId, revision, kept } = await recoverNode(dataDir, {
        nowMs: Date.now(),
        onStep: (step) => sayProgress(STEPS[step]),
      });
      if (json) return say(JSON.stringify({ node: plan.node, clusterId, revision, kept }, null, 2));
      say(
        `\n${plan.node} is the only member of the new cluster ${clusterId}, at revision ${revision}`,
      );
      say(`the old log and cluster.json are kept in ${kept}; delete them when all is well`);
      say('next: skein up here; then skein token create, and on every other machine that');
      say('survived: skein reset --yes --keep-pods, skein join <token>');
      say('machines that are gone: skein remove <node> here, for each');
    });
}
