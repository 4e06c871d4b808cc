import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import {
  identify,
  isAlive,
  signalProcess,
  startTimeOf,
  waitGone,
} from '../../src/lab/processes.ts';

t.test('lab: a process is known by pid and start time: a reused pid is another', async (t) => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const id = await identify(child.pid ?? 0);
  t.ok(id);
  if (!id) return;
  t.ok(await isAlive(id));
  const reused = { pid: id.pid, startTime: String(Number(id.startTime) - 1) };
  t.notOk(await isAlive(reused));
  t.notOk(await signalProcess(reused, 'SIGKILL'), 'and is never signalled');
  t.ok(await isAlive(id), 'the other one lives on');
  t.notOk(await waitGone(id, 30), 'it outlives a deadline');
  t.ok(await signalProcess(id, 'SIGTERM'));
  t.ok(await waitGone(id, 5000));
  t.notOk(await isAlive(id));
  t.notOk(await signalProcess(id, 'SIGTERM'), 'a second signal finds nobody');
});

t.test('lab: nobody is no process', async (t) => {
  t.equal(await identify(0x3fffffff), undefined);
  t.notOk(await isAlive(undefined));
  t.notOk(await signalProcess(undefined, 'SIGKILL'));
  t.ok(await waitGone(undefined, 0));
});

t.test('lab: the start time is found behind a program name of any kind', async (t) => {
  const stat = await readFile('/proc/self/stat', 'utf8');
  const rest = stat.slice(stat.lastIndexOf(')') + 2);
  const expected = rest.split(' ')[19];
  t.equal(startTimeOf(stat), expected);
  t.equal(startTimeOf(`123 (a) b (c) ${rest}`), expected);
  t.equal(startTimeOf(`123 () 1 2) ${rest}`), expected);
});

t.test('lab: a zombie is gone', async (t) => {
  const stat = await readFile('/proc/self/stat', 'utf8');
  t.equal(startTimeOf(stat.replace(/\) \w /, ') Z ')), undefined);
});
